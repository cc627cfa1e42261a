package audio

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// upstreamSpans are what get_speech_timestamps of Silero VAD 6.2 finds in recordings of so many samples, whose frames of 512 samples have the
// probabilities digit/10 + 0.03, under options that differ from the default ones.
var upstreamSpans = []struct {
	options  func(o *SpeechOptions)
	nSamples int
	digits   string
	want     []Span
}{
	{func(o *SpeechOptions) {}, 102399,
		"98185955878882117986578789867695988798985957798789989777012111111132010320210010132001120201120182107798668977205787101110220010222112018778000021010198704221111000000032000121101110100100001118000140",
		[]Span{{0, 29152}, {48672, 59872}}},
	{func(o *SpeechOptions) { o.Threshold = 0.7; o.NegThreshold = 0.2 }, 101889,
		"80896600230210009871986088746877768877789794301088786988597787877779987768587876775769881201016778970999689975879867798772148989021020130100242100247011000900010111021000320110700911041100007212268978",
		[]Span{{7712, 45536}, {48160, 66016}, {96800, 101889}}},
	{func(o *SpeechOptions) { o.SpeechPad = 400 * ms }, 101889,
		"96671312800018089799898680201000200859877967798999679860006952201000130911979800109999699876220300000010001100007956021321001021010110307968796876986889677778888999688967677699010220001212001201021200",
		[]Span{{0, 15360}, {15360, 33792}, {33792, 53504}, {63232, 96512}}},
	{func(o *SpeechOptions) { o.SpeechPad = 0; o.MinSilence = 0; o.MinSpeech = 0 }, 102400,
		"79688729067676889750900089695896971201028978897998200796979766802030071089926577000897968899898897787980100023121202000001190110020013101003001100000102002000110100888878012102010221000101036887987877",
		[]Span{{0, 3072}, {3584, 4096}, {4608, 9728}, {10240, 10752}, {12288, 17408}, {20480, 25600}, {27136, 32256}, {35328, 35840}, {36864, 38400}, {38912, 40960}, {42496, 52736}, {62976, 63488}, {83968, 87040}, {97280, 102400}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 3000 * ms }, 102399,
		"77877910271887778030898685988768686878981221120030212004013260888799776786899898766987579997778689996608878220103010001121002110202001110210000233279790201203013021000121068579796971300812001001111001",
		[]Span{{0, 20960}, {30240, 55264}, {87072, 95712}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 3000 * ms; o.MinSilence = 600 * ms; o.SpeechPad = 100 * ms }, 102200,
		"87688520078901222100210002100101876877087000011112113001130000110120001000103032278788868987665796699011010021097798998980302100002301002002122021132011200021032892100029663610033199979968757897896898",
		[]Span{{0, 7744}, {14784, 22592}, {39872, 63552}, {80832, 102200}}},
	{func(o *SpeechOptions) {
		o.MaxSpeech = 2000 * ms
		o.MinSilence = 2000 * ms
		o.SpeechPad = 0
		o.MinSpeech = 0
		o.MinSilenceAtMaxSpeech = 30 * ms
	}, 101889,
		"99848777987967897766086877600007008875788798198789820101066888621100002002220130010022031200310120310115127100899610888988887710120201102000001021112111000310010000009678669998768697799711977797212010",
		[]Span{{0, 26112}, {29184, 32256}, {52736, 84480}, {84992, 101889}}},
	{func(o *SpeechOptions) { o.SpeechPad = 200 * ms; o.MinSilence = 50 * ms; o.MinSpeech = 500 * ms }, 101889,
		"20200003300421220121101111000110010100019691101130110001002110232010102320010110214888786876898854575586876889758778799997520668500360022000102985968312795012220647722028777889978001067800301130037697",
		[]Span{{39296, 69248}}},
	{func(o *SpeechOptions) { o.Threshold = 0.05 }, 102399,
		"99967988598778796895203101977758888900006798111111013002010210240042201120112101020088886930220020310113110101522010182208869778787659877778722000112000021210111120011002122010010006986790114101033230",
		[]Span{{0, 102399}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 1500 * ms; o.SpeechPad = 60 * ms; o.MinSilence = 160 * ms }, 102200,
		"87772223821002010208580877885878930010002000010401120987868857996779887872049011096867797686896968999969659668866577899661628104177987920985102210000067810002133010212001000212102000101101111107801130",
		[]Span{{0, 5568}, {8768, 17856}, {26176, 40384}, {40512, 64448}, {65088, 72640}}},
	{func(o *SpeechOptions) {}, 102399,
		"79912231020100302110030100203201020100231327996964578899677889945984798956098758802012112000003201000897202020111010011020104710090021019988021110000010100111104799890507207700200112121000001211103200",
		[]Span{{21536, 41952}, {81952, 89568}}},
	{func(o *SpeechOptions) { o.Threshold = 0.7; o.NegThreshold = 0.2 }, 102400,
		"99968698778879766997797676857879967889760097832401102201120043210000000111000211301138879996887677588897912000001410110010031820218002221030067676789759769777988769867897658868796971150107676950001118",
		[]Span{{0, 25056}, {43040, 54240}, {72224, 93152}}},
	{func(o *SpeechOptions) { o.SpeechPad = 400 * ms }, 102200,
		"77878579870312100232910987789079807710889766869966879886791170300930277875786985896868767977876679868888886880005699225011876929021967958897977887896988799985666897768687621766586869677768467877776877",
		[]Span{{0, 7680}, {7680, 102200}}},
	{func(o *SpeechOptions) { o.SpeechPad = 0; o.MinSilence = 0; o.MinSpeech = 0 }, 102400,
		"50697756797808700000022213001200101928778868678978678898901112190010211022679697097778779574667688798128687879787987877589987879489768977789778328978867779230001579787756720003100010021000110779777111",
		[]Span{{0, 512}, {1024, 6144}, {6656, 7680}, {17920, 18432}, {18944, 29184}, {32256, 32768}, {37888, 40960}, {41472, 51712}, {52736, 73216}, {74240, 79360}, {82432, 87552}, {97792, 100864}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 3000 * ms }, 102400,
		"86922388898879753010877888020201001201002101008979978776108012110000298778777687877778998201210876778794998666866862011118965123034000302121100039120134000096733120101005778897777687895886679679987897",
		[]Span{{0, 13792}, {23072, 30688}, {34848, 46048}, {48160, 59360}, {86048, 102400}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 3000 * ms; o.MinSilence = 600 * ms; o.SpeechPad = 100 * ms }, 102399,
		"22978786010110200010201010007967123130013032011022122000010010101003002278809865897988979847598978879767686886777758203134332020001001122122210010010032022099710010102409779693820310001019051521341104",
		[]Span{{35264, 60992}, {78272, 102399}}},
	{func(o *SpeechOptions) {
		o.MaxSpeech = 2000 * ms
		o.MinSilence = 2000 * ms
		o.SpeechPad = 0
		o.MinSpeech = 0
		o.MinSilenceAtMaxSpeech = 30 * ms
	}, 101889,
		"11965111189676678958995797888208876995659699796789798697568879779778687010113770101109887867899897966989921040110210233012302779886889786886687997786778677797758797720010231122100012120111101020223400",
		[]Span{{1024, 2560}, {4608, 36352}, {39424, 53760}, {64000, 95744}}},
	{func(o *SpeechOptions) { o.SpeechPad = 200 * ms; o.MinSilence = 50 * ms; o.MinSpeech = 500 * ms }, 101889,
		"96886736775688867797599899997869887988866788877002140000021300011223223010120121200001091201200203020200111212000001022012013030789979069777920101003000222200010100000320402001000117907886688678895959",
		[]Span{{0, 27264}, {89472, 101889}}},
	{func(o *SpeechOptions) { o.Threshold = 0.05 }, 102200,
		"89755777778977899998789678999887787784740011997697768800210185011199851010012103200031202002102000001002140010710116029772101010101102140210320001102000031031320677178177160113101021200010010310100000",
		[]Span{{0, 102200}}},
	{func(o *SpeechOptions) { o.MaxSpeech = 1500 * ms; o.SpeechPad = 60 * ms; o.MinSilence = 160 * ms }, 102200,
		"28110002110222011110300121010221104020102146977899563103230130010030100371231227477697997770308977976848988788977820101012100103000033022102211110000003107002221657696779798658878671049878000174701818",
		[]Span{{21056, 27584}, {39488, 59328}, {81472, 102200}}},
}

func TestSpansAreUpstreams(t *testing.T) {
	for i, c := range upstreamSpans {
		o := DefaultSpeechOptions()
		c.options(&o)
		if err := o.Check(); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
		probs := make([]float32, len(c.digits))
		for j, d := range c.digits {
			probs[j] = float32(d-'0')/10 + 0.03
		}
		if got := SpeechSpans(probs, sileroWindow, c.nSamples, o); !slices.Equal(got, c.want) {
			t.Errorf("case %d: %v: want %v", i, got, c.want)
		}
	}
}

// randomProbs are probabilities that stay high or low for a while.
func randomProbs(r *rand.Rand, n int) []float32 {
	probs := make([]float32, 0, n)
	for high := false; len(probs) < n; high = !high {
		for range min(1+r.IntN(1+r.IntN(60)), n-len(probs)) {
			p := 0.5 * r.Float32()
			if high {
				p += 0.5
			}
			probs = append(probs, p)
		}
	}
	return probs
}

// randomSpeechOptions are options that pass Check.
func randomSpeechOptions(r *rand.Rand) SpeechOptions {
	o := SpeechOptions{
		Threshold:             0.3 + 0.4*r.Float32(),
		MinSpeech:             time.Duration(r.IntN(500)) * ms,
		MinSilence:            time.Duration(r.IntN(1000)) * ms,
		SpeechPad:             time.Duration(r.IntN(400)) * ms,
		MinSilenceAtMaxSpeech: time.Duration(r.IntN(200)) * ms,
	}
	if r.IntN(2) == 0 {
		o.MaxSpeech = o.MinSpeech + 2*o.SpeechPad + time.Duration(1+r.IntN(5000))*ms
	}
	return o
}

// TestSpanProperties checks that spans are in order, inside the recording and not longer than asked, and that events, told a frame at a
// time, are the spans, in the order of time.
func TestSpanProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		probs, o := randomProbs(r, 1+r.IntN(400)), randomSpeechOptions(r)
		frame := 160 + r.IntN(400)
		nSamples := len(probs)*frame - r.IntN(frame)
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		spans := SpeechSpans(probs, frame, nSamples, o)
		longest := nSamples
		if o.MaxSpeech > 0 {
			longest = max(int(o.MaxSpeech.Seconds()*SampleRate), frame)
		}
		before := 0
		for _, s := range spans {
			if s.Start < before || s.Len() < 1 || s.Len() > longest || s.End > nSamples {
				t.Fatalf("span %v after %d, of %d samples, under %+v: %v", s, before, nSamples, o, spans)
			}
			before = s.End
		}

		c, at := newSpeechCutter(frame, o), 0
		var told []Span
		take := func(events []SpeechEvent, now int) {
			for _, e := range events {
				if e.At < at || e.At > now {
					t.Fatalf("%+v is told at %d, after %d", e, now, at)
				}
				at = e.At
				if e.Start {
					told = append(told, Span{Start: e.At, End: none})
				} else {
					told[len(told)-1].End = e.At
				}
			}
		}
		for i := range probs {
			take(c.push(nil, probs[i:i+1]), min((i+1)*frame, nSamples))
		}
		take(c.close(nil, nSamples), nSamples)
		if !slices.Equal(told, spans) {
			t.Fatalf("told frame by frame: %v: want %v", told, spans)
		}
	}
}

func TestSpeechOptionsAreChecked(t *testing.T) {
	if err := DefaultSpeechOptions().Check(); err != nil {
		t.Error(err)
	}
	for i, spoil := range []func(o *SpeechOptions){
		func(o *SpeechOptions) { o.Threshold = 0 },
		func(o *SpeechOptions) { o.Threshold = 1.1 },
		func(o *SpeechOptions) { o.NegThreshold = -0.1 },
		func(o *SpeechOptions) { o.NegThreshold = 0.6 },
		func(o *SpeechOptions) { o.MinSpeech = -1 },
		func(o *SpeechOptions) { o.MinSilence = -1 },
		func(o *SpeechOptions) { o.SpeechPad = -1 },
		func(o *SpeechOptions) { o.MaxSpeech = -1 },
		func(o *SpeechOptions) { o.MaxSpeech = 200 * ms },
	} {
		o := DefaultSpeechOptions()
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("case %d: %+v is let through", i, o)
		}
	}
}

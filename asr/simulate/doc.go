// Package simulate predicts how long recordings wait, and how many workers a load needs, before there are any machines. It is a
// simulation of discrete events in which every worker is an [asr.Scheduler], the very core that decides in an engine. Everything else
// is a cost in seconds that was measured ([Model]; package measure measures it).
//
// # What is simulated
//
// Recordings arrive as a trace says, or as a generator makes them up ([Load]). They wait in one queue for each priority. A worker takes
// one whenever it has a free slot: normal before bulk, which has one turn in four while both wait, and live in slots of its own. Workers
// with free slots are served in turn, as the pull consumers of JetStream are.
//
// A worker does what [asr.Engine] does, in the same order. It opens its mail between two plans. Recordings are loaded beside the device,
// which slows the device down. A language is detected by a pass of the encoder, whose states are used again where the reach of the
// adapter allows it. An adapter that is not in memory is brought in. A window takes a step for each token, and is decoded again where
// its text is refused. A long recording is decoded window by window, each prompted with the text before it, or side by side.
//
// # What is not
//
// Live sessions, which decode the same sound again and again: a live recording here is one that somebody waits for. The network; the
// broker is one constant. Other programs on the machine. What the words are: a text that is refused costs another attempt, no more.
package simulate

// Package simulate says how long recordings would wait, and for how many workers, before there are any: a simulation of discrete
// events in which every worker is an [asr.Scheduler], the very core that decides in an engine, and all else is a cost in seconds that
// was measured.
//
// # What is simulated
//
// Recordings come as a trace says, or a generator ([Load]). They wait in one queue for each priority, of which a worker takes one
// whenever it has a free slot: normal before bulk, which has one turn in four while both wait, and live in slots of their own. Workers
// with free slots are served in turn, as the pull consumers of JetStream do. In a worker, what [asr.Engine] does is done in its order: what came is seen between two plans; recordings are loaded beside the
// device, which that slows down; a language is detected by a pass of the encoder, whose states may be of use or not, as the reach of
// the adapter has it; an adapter that is not in memory is brought in; a window takes a step for each token, and begins again where
// its text is not taken; a long recording is heard window by window, each prompted with the text before it, or side by side.
//
// # What is not
//
// Live sessions, which hear the same sound again and again: a live recording here is one that somebody waits for. The network; what
// the broker does is one constant. Other programs on the machine. Words that are heard wrong, except that their windows begin again.
package simulate

// Package ws serves live transcription over websockets, by three protocols over one engine:
//
//   - /v1/stream, ours, whose messages are in messages.go and which [Dial] speaks;
//   - /v1/listen, in the shapes of Deepgram's ListenV1, with files by POST;
//   - /v1/realtime, in those of OpenAI's transcription sessions, the present ones and the beta's.
//
// # A connection
//
// A connection has two goroutines: one reads, one writes (pump.go, reader.go, writer.go). What tells the routes apart, is
// a protocol: how it understands messages, and words events. Sound goes through a sound to the session; where that has
// no room, the socket is not read, so that the client is held back, and none is dropped. A client that does not read
// loses partials first, since the session keeps the newest alone, and then its connection.
//
// # The laws of /v1/stream
//
// The first message is a config, and ready answers it. Committed text never changes. The seq of events rises. Every
// session ends with done, and no connection closes with 1000 before it. An error that ends the connection is a message
// first, and the close code says whose fault it was. Where a client sends what cannot be taken in the midst of a session, text of
// what came before it follows the error, and done:
//
//	1000  done
//	1001  draining: the server shuts down, or the session's own end came from there
//	1008  the client: invalid, invalid_audio, not_found, idle, overrun, session_limit, taken_over
//	1009  too_large: a message beyond Limits.FrameBytes
//	1011  internal
//	1013  busy: no room for another session now
//
// # Resumption
//
// A session whose connection broke, or whose client was silent for too long, waits for Limits.Resume. A config that names
// it, of the same client, goes on with it: events behind last_seq come again, in their order, and ready says from where
// on sound is missing. Messages are taken whole or not at all. A session that has come to its end waits, too, until its
// client has answered the close; a client that closes with 1000 wants no more of it. What is kept for clients that come
// back is bounded:
// who has missed more than that is told so, and gets nothing instead of a part.
package ws

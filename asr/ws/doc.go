// Package ws serves live transcription over websockets: /v1/stream, whose messages are in messages.go,
// /v1/listen in Deepgram's shapes, and /v1/realtime in those of OpenAI's transcription sessions.
package ws

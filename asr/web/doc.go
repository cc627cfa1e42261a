// Package web serves the pages of a server: one to speak into, at /, and one that shows what the server does, at
// /status. They are plain HTML, CSS and JavaScript modules, embedded as they are in assets: there is no build step, and
// a browser asks nobody but the server for anything.
//
// The pages speak to /v1/stream, /v1/audio/transcriptions, /v1/models and /v1/tokens at addresses relative to their own,
// so that they work below any prefix. What a status is made of, comes from a [Source].
package web

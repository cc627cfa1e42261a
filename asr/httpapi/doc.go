// Package httpapi serves an engine over HTTP in the shapes of OpenAI's API, so that its clients work unchanged, with what this
// engine can do beyond it.
//
//	POST /v1/audio/transcriptions, /v1/audio/translations   a sound file to text: json, text, srt, vtt, verbose_json, tsv, or a stream of events
//	POST /v1/jobs, GET /v1/jobs                              a recording that is transcribed however long it takes, see [Jobs]; those of a client
//	GET, DELETE /v1/jobs/{id}                                how far it is; cancel it
//	POST /v1/jobs/{id}/retry                                 try a failed one again
//	GET  /v1/jobs/{id}/result, /v1/jobs/{id}/events          its text, in the formats above; its changes as a stream of events
//	GET  /v1/models, /v1/models/{id}                         the model and its adapters, in vLLM's shape
//	POST /v1/load_lora_adapter, /v1/unload_lora_adapter      vLLM's, off unless Options.Admin says otherwise
//	POST /v1/tokens                                          short-lived tokens for browsers; also by OpenAI's name
//	                                                         /v1/realtime/client_secrets and Deepgram's /v1/auth/grant
//	GET  /healthz, /readyz, /metrics, /openapi.json
//
// openapi.json describes all of it. What other packages serve, websockets and pages, is mounted under the same authentication,
// origins, request ids, logs and metrics: see [Mount].
//
// What a client sends is bounded while it is read: bytes of the body, time in which it comes, bytes of a file, and
// seconds of its sound while they are decoded, whatever a header says.
package httpapi

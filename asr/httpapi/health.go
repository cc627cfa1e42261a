package httpapi

import "net/http"

// healthz answers whether the process serves, and readyz whether it should get requests.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	if err := s.engine.Err(); err != nil {
		return &apiError{status: http.StatusServiceUnavailable, code: "stopped", message: "the engine has stopped", cause: err}
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	notReady := func(code, why string, cause error) error {
		return &apiError{status: http.StatusServiceUnavailable, code: code, message: why, retryAfter: s.options.RetryAfter, cause: cause}
	}
	if s.running.isDraining() {
		return s.draining()
	}
	if s.running.warming.Load() {
		return notReady("warming", "the model is being warmed", nil)
	}
	err := s.engine.Err()
	if err == nil && s.options.Ready != nil {
		err = s.options.Ready(r.Context())
	}
	if err != nil {
		return notReady("not_ready", "the server is not ready", err)
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

package ws

import "net/http"

func (s *Server) Realtime(w http.ResponseWriter, r *http.Request) {}

package ws

import "net/http"

func (s *Server) Listen(w http.ResponseWriter, r *http.Request)     {}
func (s *Server) ListenFile(w http.ResponseWriter, r *http.Request) {}
func (s *Server) Realtime(w http.ResponseWriter, r *http.Request)   {}

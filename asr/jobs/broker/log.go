package broker

import (
	"errors"
	"fmt"
	"log/slog"
)

// log passes on what the server logs: see [server.Logger].
type log struct {
	to    *slog.Logger
	fatal chan error // the first fatal one, which for a server of its own would end the process
}

func newLog(to *slog.Logger) *log {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return &log{to: to.With("part", "broker"), fatal: make(chan error, 1)}
}

func (l *log) Debugf(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l *log) Tracef(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l *log) Noticef(format string, v ...any) { l.to.Debug(fmt.Sprintf(format, v...)) } // its banner, above all
func (l *log) Warnf(format string, v ...any)   { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l *log) Errorf(format string, v ...any)  { l.to.Error(fmt.Sprintf(format, v...)) }

func (l *log) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.to.Error(text)
	select {
	case l.fatal <- errors.New("broker: " + text):
	default:
	}
}

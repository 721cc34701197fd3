package api

import "net/http"

// getTopicRecords reads all partitions of a topic, in turns, each in the order
// of its offsets.
func (s *Server) getTopicRecords(w http.ResponseWriter, r *http.Request) {
	if err := s.readTopic(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) readTopic(w http.ResponseWriter, r *http.Request) error {
	name, err := pathTopic(r)
	if err != nil {
		return err
	}
	p, err := s.readReadParams(r, topicReadParamNames)
	if err != nil {
		return err
	}
	if p.format == formatBatch {
		return badRequest(CodeNotAcceptable,
			"record batches don't tell their partition: read /v1/topics/%s/partitions/N/records", clip(name))
	}
	t, err := p.topic(s, name)
	if err != nil {
		return err
	}
	if err := s.directTopic(r, t); err != nil {
		return err
	}
	f, err := s.topicFeed(r.Context(), p, t)
	if err != nil {
		return s.failRead(w, r, p, err)
	}
	defer f.close()
	setReadHeaders(w.Header())
	return s.answerRead(w, r, p, f)
}

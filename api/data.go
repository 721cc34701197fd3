package api

import "github.com/go-chi/chi/v5"

// dataRoutes registers the data plane: what writes and reads records. Its
// paths are described in openapi.yaml; a test compares the two.
func (s *Server) dataRoutes(r chi.Router) {
	const (
		topic     = "/v1/topics/{topic}"
		partition = topic + "/partitions/{partition}"
		records   = partition + "/records"
		record    = records + "/{offset}"
		key       = topic + "/keys/{key}"
	)
	r.Post(topic+"/records", s.postRecord)
	r.Get(topic+"/records", s.getTopicRecords)
	r.Post(topic+"/batches", s.postBatches)

	r.Post(records, s.postPartitionRecord)
	r.Get(records, s.getPartitionRecords)
	r.Delete(records, s.deleteRecords)
	r.Get(record, s.getRecord)
	r.Head(record, s.getRecord)
	r.Get(partition+"/offsets", s.getOffsets)
	r.Put(partition+"/fence", s.putFence)
	r.Get(partition+"/backup", s.getBackupPoint)
	r.Put(partition+"/restore", s.putRestore)
	r.Post(partition+"/restore", s.postRestore)
	r.Delete(partition+"/restore", s.deleteRestore)

	r.Post("/v1/groups/{group}/poll", s.postPoll)

	r.Get(key, s.getKey)
	r.Head(key, s.getKey)
	r.Put(key, s.putKey)
	r.Delete(key, s.deleteKey)
}

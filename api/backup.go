package api

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// backups is what "chronik cluster backup" and "restore" are made of.
type backups interface {
	BackupMetadata(context.Context) (server.BackupMetadata, error)
	BackupPoint(ctx context.Context, topic string, p int32) (replica.Point, error)
	BeginRestore(ctx context.Context, id string, m server.BackupMetadata) (resumed bool, err error)
	RestoreTopic(context.Context, server.BackupTopic) (server.Topic, error)
	EndRestore(context.Context) error
	BeginRestorePartition(ctx context.Context, topic string, p int32, start int64, state []byte) (end int64, err error)
	RestorePartition(ctx context.Context, topic string, p int32, batches []byte) (end int64, err error)
	EndRestorePartition(ctx context.Context, topic string, p int32, end int64) error
}

// maxRestoreBytes bounds one request that restores a part of a partition: a
// batch or a state of the largest size that a node holds fits.
const maxRestoreBytes = 64 << 20

// BackupCluster implements GET /v1/cluster/backup.
func (s *Server) BackupCluster(
	ctx context.Context, _ gen.BackupClusterRequestObject,
) (gen.BackupClusterResponseObject, error) {
	m, err := s.broker.BackupMetadata(ctx)
	if err != nil {
		return nil, err
	}
	out := gen.BackupCluster200JSONResponse{
		ClusterId: m.ClusterID, Configs: notNil(m.Configs), NextProducerId: m.NextProducer,
		Topics: make([]gen.TopicBackup, len(m.Topics)), Entries: make([]gen.EntryBackup, len(m.Entries)),
		Producers: make([]gen.ProducerBackup, len(m.Producers)),
	}
	for i, t := range m.Topics {
		out.Topics[i] = gen.TopicBackup{
			Id: [16]byte(t.ID), Name: t.Name, Partitions: t.Partitions, Configs: notNil(t.Configs),
			CreatedAt: t.CreatedAt, Born: t.Born,
		}
		if rf := int32(t.Replication); rf > 0 {
			out.Topics[i].ReplicationFactor = &rf
		}
	}
	for i, e := range m.Entries {
		out.Entries[i] = gen.EntryBackup{Space: e.Space, Key: e.Key, Value: e.Value}
	}
	for i, p := range m.Producers {
		out.Producers[i] = gen.ProducerBackup{Name: p.Name, Id: p.ID, ExpiresAt: time.UnixMilli(p.ExpiresMs).UTC()}
	}
	return out, nil
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// BeginRestore implements POST /v1/cluster/restore.
func (s *Server) BeginRestore(
	ctx context.Context, req gen.BeginRestoreRequestObject,
) (gen.BeginRestoreResponseObject, error) {
	body := req.Body
	if !plainText(body.BackupId, server.MaxBackupID) {
		return nil, badField("backup_id", "want 1 to %d bytes of UTF-8 without control characters", server.MaxBackupID)
	}
	m := server.BackupMetadata{Configs: body.Configs, NextProducer: body.NextProducerId}
	for _, e := range body.Entries {
		m.Entries = append(m.Entries, server.Entry{Space: e.Space, Key: e.Key, Value: e.Value})
	}
	for _, p := range body.Producers {
		m.Producers = append(m.Producers, server.Producer{Name: p.Name, ID: p.Id, ExpiresMs: p.ExpiresAt.UnixMilli()})
	}
	resumed, err := s.broker.BeginRestore(ctx, body.BackupId, m)
	if err != nil {
		return nil, err
	}
	return gen.BeginRestore200JSONResponse{Resumed: resumed}, nil
}

// RestoreTopic implements POST /v1/cluster/restore/topics.
func (s *Server) RestoreTopic(
	ctx context.Context, req gen.RestoreTopicRequestObject,
) (gen.RestoreTopicResponseObject, error) {
	body := req.Body
	rf, epochs := deref(body.ReplicationFactor), deref(body.LeaderEpochs)
	switch {
	case rf < 0 || rf > 1<<15-1:
		return nil, badField("replication_factor", "want 1 or more, have %d", rf)
	case len(epochs) != int(body.Partitions):
		return nil, badField("leader_epochs", "want one for each of %d partitions, have %d", body.Partitions, len(epochs))
	}
	t, err := s.broker.RestoreTopic(ctx, server.BackupTopic{
		ID: server.TopicID(body.Id), Name: body.Name, Partitions: body.Partitions, Replication: int16(rf),
		Configs: maps.Clone(body.Configs), CreatedAt: body.CreatedAt, Born: body.Born, Epochs: epochs,
	})
	if err != nil {
		return nil, err
	}
	return gen.RestoreTopic201JSONResponse(topicJSON(t)), nil
}

// EndRestore implements DELETE /v1/cluster/restore.
func (s *Server) EndRestore(
	ctx context.Context, _ gen.EndRestoreRequestObject,
) (gen.EndRestoreResponseObject, error) {
	if err := s.broker.EndRestore(ctx); err != nil {
		return nil, err
	}
	return gen.EndRestore204Response{}, nil
}

// getBackupPoint tells where a partition ends, and what its leader remembers.
func (s *Server) getBackupPoint(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	t, number, _, err := s.partitionOf(r, nil)
	var at replica.Point
	if err == nil {
		at, err = s.broker.BackupPoint(ctx, t.Name, number)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	h := w.Header()
	h["Cache-Control"] = []string{cacheNever}
	h["Content-Type"] = []string{octetStream}
	h["Content-Length"] = []string{itoa(int64(len(at.State)))}
	h["Log-Start-Offset"] = []string{itoa(at.LogStart)}
	h["Log-High-Watermark"] = []string{itoa(at.End)}
	h["Log-Leader-Epoch"] = []string{itoa(int64(at.LeaderEpoch))}
	_, _ = w.Write(at.State) // the client has gone
}

// putRestore prepares a partition for its records.
func (s *Server) putRestore(w http.ResponseWriter, r *http.Request) {
	s.restore(w, r, "start", func(ctx context.Context, t string, p int32, start int64) (int64, error) {
		if media := bodyType(r); media != octetStream && r.ContentLength != 0 {
			return 0, unsupportedType(r, octetStream)
		}
		state, err := readBody(r, nil, maxRestoreBytes)
		if err != nil {
			return 0, err
		}
		return s.broker.BeginRestorePartition(ctx, t, p, start, state)
	})
}

// postRestore appends batches of a backup.
func (s *Server) postRestore(w http.ResponseWriter, r *http.Request) {
	s.restore(w, r, "", func(ctx context.Context, t string, p int32, _ int64) (int64, error) {
		if bodyType(r) != typeBatch {
			return 0, unsupportedType(r, typeBatch)
		}
		batches, err := readBody(r, nil, maxRestoreBytes) // the log keeps them
		if err != nil {
			return 0, err
		}
		return s.broker.RestorePartition(ctx, t, p, batches)
	})
}

// deleteRestore has a partition led.
func (s *Server) deleteRestore(w http.ResponseWriter, r *http.Request) {
	s.restore(w, r, "end", func(ctx context.Context, t string, p int32, end int64) (int64, error) {
		return partition.NoOffset, s.broker.EndRestorePartition(ctx, t, p, end)
	})
}

// restore does a step of a partition's restoration, whose answer is the offset
// that the next begins at, if there is one. param is the parameter that it needs.
func (s *Server) restore(w http.ResponseWriter, r *http.Request, param string,
	step func(ctx context.Context, topic string, p int32, at int64) (int64, error),
) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	var known []string
	if param != "" {
		known = []string{param}
	}
	t, number, p, err := s.partitionOf(r, known)
	if err == nil && param != "" && p.n < 0 {
		err = badParameter(param, "is missing: give an offset")
	}
	next := int64(partition.NoOffset)
	if err == nil {
		next, err = step(ctx, t.Name, number, p.n)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	if next >= 0 {
		w.Header()["Log-Next-Offset"] = []string{itoa(next)}
	}
	w.WriteHeader(http.StatusNoContent)
}

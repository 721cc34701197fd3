package api

import (
	"context"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/telemetry"
)

// clusterAdmin looks at the cluster and changes who does what in it.
type clusterAdmin interface {
	Cluster() server.ClusterInfo
	Node(id server.NodeID) (server.NodeInfo, error)
	Moving(ctx context.Context, leaving server.NodeID) (bytes int64, err error)
	Load(ctx context.Context) []server.NodeLoad
	DrainNode(ctx context.Context, id server.NodeID, replicas bool, throttle int64) (server.NodeInfo, error)
	EndDrain(ctx context.Context, id server.NodeID) (server.NodeInfo, error)
	RemoveNode(ctx context.Context, id server.NodeID) error
	MoveController(ctx context.Context, id server.NodeID) error
	ElectPreferred(ctx context.Context, topic string) (elected int, err error)
	ElectLeader(ctx context.Context, topic string, p int32) error
	ElectUnclean(ctx context.Context, topic string, p int32, leader server.NodeID) error
	ReassignThrottled(ctx context.Context, topic string, p int32, replicas []server.NodeID, throttle int64,
	) (server.PartitionInfo, error)
	CancelReassign(ctx context.Context, topic string, p int32) (server.PartitionInfo, error)
}

// DescribeNode implements GET /v1/cluster/nodes/{node}.
func (s *Server) DescribeNode(
	ctx context.Context, req gen.DescribeNodeRequestObject,
) (gen.DescribeNodeResponseObject, error) {
	n, err := s.broker.Node(req.Node)
	if err != nil {
		return nil, err
	}
	answer := nodeJSON(n)
	if n.Leaving > 0 {
		if left, err := s.broker.Moving(ctx, req.Node); err == nil { // else it is not known
			answer.BytesLeft = &left
		}
	}
	return gen.DescribeNode200JSONResponse(answer), nil
}

// DescribeLoad implements GET /v1/cluster/load.
func (s *Server) DescribeLoad(
	ctx context.Context, _ gen.DescribeLoadRequestObject,
) (gen.DescribeLoadResponseObject, error) {
	loads := s.broker.Load(ctx)
	nodes := make([]gen.NodeLoad, len(loads))
	for i, l := range loads {
		nodes[i] = gen.NodeLoad{Id: l.Node, Answered: l.Answered}
		if l.Answered {
			nodes[i].AppendedRecords, nodes[i].AppendedBytes, nodes[i].ReadBytes = &l.Records, &l.Bytes, &l.Read
			nodes[i].CommitCycles = &l.Cycles
		}
	}
	return gen.DescribeLoad200JSONResponse{BucketSeconds: telemetry.Buckets(), Nodes: nodes}, nil
}

// DrainNode implements POST /v1/cluster/nodes/{node}/drain.
func (s *Server) DrainNode(
	ctx context.Context, req gen.DrainNodeRequestObject,
) (gen.DrainNodeResponseObject, error) {
	if req.Body == nil {
		req.Body = &gen.Drain{}
	}
	throttle, err := throttleOf(req.Body.ThrottleBytesPerSecond)
	if err != nil {
		return nil, err
	}
	n, err := s.broker.DrainNode(ctx, req.Node, deref(req.Body.Replicas), throttle)
	if err != nil {
		return nil, err
	}
	return gen.DrainNode202JSONResponse(nodeJSON(n)), nil
}

// EndDrain implements DELETE /v1/cluster/nodes/{node}/drain.
func (s *Server) EndDrain(ctx context.Context, req gen.EndDrainRequestObject) (gen.EndDrainResponseObject, error) {
	n, err := s.broker.EndDrain(ctx, req.Node)
	if err != nil {
		return nil, err
	}
	return gen.EndDrain200JSONResponse(nodeJSON(n)), nil
}

// RemoveNode implements DELETE /v1/cluster/nodes/{node}.
func (s *Server) RemoveNode(
	ctx context.Context, req gen.RemoveNodeRequestObject,
) (gen.RemoveNodeResponseObject, error) {
	if err := s.broker.RemoveNode(ctx, req.Node); err != nil {
		return nil, err
	}
	return gen.RemoveNode204Response{}, nil
}

// MoveController implements POST /v1/cluster/controller.
func (s *Server) MoveController(
	ctx context.Context, req gen.MoveControllerRequestObject,
) (gen.MoveControllerResponseObject, error) {
	if req.Body.Node < 1 {
		return nil, badField("node", "want a node id, 1 or more, have %d", req.Body.Node)
	}
	if err := s.broker.MoveController(ctx, req.Body.Node); err != nil {
		return nil, err
	}
	info := s.broker.Cluster()
	return gen.MoveController200JSONResponse{Controller: info.Controller, Term: int64(info.RaftTerm)}, nil
}

// ElectLeaders implements POST /v1/cluster/elections.
func (s *Server) ElectLeaders(
	ctx context.Context, req gen.ElectLeadersRequestObject,
) (gen.ElectLeadersResponseObject, error) {
	topic := ""
	if req.Body != nil && req.Body.Topic != nil {
		if topic = *req.Body.Topic; topic == "" {
			return nil, badField("topic", "is empty; leave it out to mean every topic")
		}
	}
	if req.Body != nil && (req.Body.Partition != nil || deref(req.Body.Unclean) || req.Body.Leader != nil) {
		return s.electOne(ctx, topic, req.Body)
	}
	n, err := s.broker.ElectPreferred(ctx, topic)
	if err != nil {
		return nil, err
	}
	return gen.ElectLeaders200JSONResponse{Elected: int32(n)}, nil
}

// electOne elects the leader of one partition.
func (s *Server) electOne(ctx context.Context, topic string, e *gen.Election,
) (gen.ElectLeadersResponseObject, error) {
	unclean := deref(e.Unclean)
	switch {
	case topic == "":
		return nil, badField("topic", "is missing: an election of one partition, or an unclean one, names its topic")
	case e.Partition == nil:
		return nil, badField("partition", "is missing: an unclean election is of one partition")
	case e.Leader != nil && !unclean:
		return nil, badField("leader", "is for unclean elections; the preferred leader is the first replica")
	}
	var err error
	if unclean {
		err = s.broker.ElectUnclean(ctx, topic, *e.Partition, deref(e.Leader))
	} else {
		err = s.broker.ElectLeader(ctx, topic, *e.Partition)
	}
	if err != nil {
		return nil, err
	}
	return gen.ElectLeaders200JSONResponse{Elected: 1}, nil
}

// ReassignPartition implements PUT …/partitions/{partition}/replicas.
func (s *Server) ReassignPartition(
	ctx context.Context, req gen.ReassignPartitionRequestObject,
) (gen.ReassignPartitionResponseObject, error) {
	throttle, err := throttleOf(req.Body.ThrottleBytesPerSecond)
	if err != nil {
		return nil, err
	}
	info, err := s.broker.ReassignThrottled(ctx, req.Topic, req.Partition, req.Body.Replicas, throttle)
	if err != nil {
		return nil, err
	}
	return gen.ReassignPartition202JSONResponse(partitionJSON(info)), nil
}

// CancelReassignment implements DELETE …/partitions/{partition}/replicas.
func (s *Server) CancelReassignment(
	ctx context.Context, req gen.CancelReassignmentRequestObject,
) (gen.CancelReassignmentResponseObject, error) {
	info, err := s.broker.CancelReassign(ctx, req.Topic, req.Partition)
	if err != nil {
		return nil, err
	}
	return gen.CancelReassignment200JSONResponse(partitionJSON(info)), nil
}

// leastThrottle is openapi.yaml's: a batch may be a megabyte, and below this one
// would take half an hour.
const leastThrottle = 1024

// throttleOf judges a bound on the bytes per second; none is 0.
func throttleOf(given *int64) (int64, error) {
	if given == nil {
		return 0, nil
	}
	if *given < leastThrottle {
		return 0, badField("throttle_bytes_per_second",
			"want %d or more, have %d; leave it out to move as fast as it goes", leastThrottle, *given)
	}
	return *given, nil
}

func nodeJSON(n server.NodeInfo) gen.Node {
	leaders, replicas, leaving := int32(n.Leaders), int32(n.Replicas), int32(n.Leaving)
	return gen.Node{
		Id: n.ID, Http: n.HTTP, Kafka: n.Kafka, Peer: n.Peer, Alive: n.Alive, Draining: &n.Draining, Voter: &n.Voter,
		Leaders: &leaders, Replicas: &replicas, Reassigning: &leaving,
	}
}

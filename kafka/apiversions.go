package kafka

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// softwareName is what KIP-511 allows a client to call itself or its version.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// answerApiVersions tells which keys and versions are spoken. A version of
// ApiVersions itself that is not spoken gets UNSUPPORTED_VERSION in version 0,
// with the list, so that the client can ask again (KIP-511).
func answerApiVersions(_ context.Context, c *call, out *output) error {
	k := c.frame.c.k
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = c.version
	resp.ApiKeys = k.advertised()
	if c.unsupported {
		resp.ErrorCode = codeUnsupportedVersion
	} else {
		resp.ErrorCode = k.judgeClient(c.req.(*kmsg.ApiVersionsRequest))
	}
	if resp.ErrorCode == codeInvalidRequest {
		resp.ApiKeys = nil
	}
	out.buf = resp.AppendTo(out.buf)
	return nil
}

// judgeClient checks what a client tells of itself and whom it takes this node
// for (KIP-1242).
func (k *Listener) judgeClient(req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 3 &&
		(!softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)) {
		return codeInvalidRequest
	}
	if req.Version >= 5 && req.ClusterID != nil && req.NodeID >= 0 {
		if info := k.broker.Cluster(); *req.ClusterID != info.ClusterID || req.NodeID != info.NodeID {
			return codeRebootstrapRequired
		}
	}
	return codeNone
}

func (k *Listener) advertised() []kmsg.ApiVersionsResponseApiKey {
	list := make([]kmsg.ApiVersionsResponseApiKey, 0, len(k.apis))
	for i := range k.apis {
		a := kmsg.NewApiVersionsResponseApiKey()
		a.ApiKey, a.MinVersion, a.MaxVersion = k.apis[i].key, k.apis[i].advertised, k.apis[i].max
		list = append(list, a)
	}
	return list
}

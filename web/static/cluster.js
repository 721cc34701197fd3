// The cluster as the node that serves the page knows it, for every view.
import {createContext} from 'preact';
import {useContext} from 'preact/hooks';

// ClusterContext holds the answer of /v1/cluster, undefined until it is there.
export const ClusterContext = createContext();

// useCluster is that answer.
export const useCluster = () => useContext(ClusterContext);

// traceOf is the id of the trace that a record's traceparent header names
// (W3C Trace Context), undefined without one.
export function traceOf(record) {
  const header = record.headers.find(({name}) => name.toLowerCase() === 'traceparent');
  return /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(header?.value ?? '')?.[1];
}

// traceHref is where people look at a trace, undefined where the node knows no
// such place (--trace-url).
export const traceHref = (cluster, id) => cluster?.trace_url?.replace('{trace_id}', id);

// kafkaAddress is where Kafka clients reach the node that serves the page.
export const kafkaAddress = (cluster) => cluster?.nodes.find((node) => node.id === cluster.node_id)?.kafka;

// Nodes, and the raft group that keeps the metadata.
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {Loaded, Table} from './ui.js';

// Nodes shows every node and the answering one's raft state.
export function Nodes() {
  const load = useLoad((signal) => get('/v1/cluster', {signal}), [], 2000);
  return html`
    <div class="title">
      <h1>Nodes</h1>
      <${CurlButton} commands=${[['Nodes and raft', curl('GET', '/v1/cluster')]]} />
    </div>
    <${Loaded} load=${load}>${(cluster) => html`
      <${Leaderless} cluster=${cluster} />
      <${NodeTable} cluster=${cluster} addresses />
      <${Raft} cluster=${cluster} />`}
    <//>`;
}

// Leaderless says that the cluster has no controller: nobody has noticed since who
// came and went.
export function Leaderless({cluster}) {
  if (cluster.controller) return null;
  return html`<p class="notice warn" role="status" data-leaderless>No controller is known, as it is while most of the
    voters are away or one is being elected. What is shown of the nodes and partitions is the last that
    node ${cluster.node_id} heard, and nothing can be changed.</p>`;
}

// NodeTable is one row for each node.
export function NodeTable({cluster, addresses}) {
  const head = ['Node', 'State', '#Leads', '#Replicas', ...(addresses ? ['HTTP', 'Kafka', 'Peers'] : [])];
  return html`<${Table} label="Nodes" head=${head}>
    ${cluster.nodes.map((node) => html`
      <tr key=${node.id} data-node=${node.id}>
        <th scope="row">${node.id}</th>
        <td><${State} node=${node} cluster=${cluster} /></td>
        <td class="number">${count(node.leaders)}</td>
        <td class="number">${count(node.replicas)}</td>
        ${addresses && html`
          <td class="line"><${Console} node=${node} here=${node.id === cluster.node_id} /></td>
          <td class="line"><code>${node.kafka}</code></td><td class="line"><code>${node.peer}</code></td>`}
      </tr>`)}
  <//>`;
}

function State({node, cluster}) {
  const sure = cluster.controller || node.id === cluster.node_id;
  const mood = !node.alive ? 'bad' : sure ? 'good' : '';
  const words = !node.alive ? 'away' : sure ? 'alive' : 'was alive';
  return html`
    <span class=${'badge ' + mood}>${words}</span>
    ${node.id === cluster.controller && html` <span class="badge">controller</span>`}
    ${node.draining && html` <span class="badge warn">draining</span>`}
    ${node.reassigning > 0 && html` <span class="badge warn">${count(node.reassigning)} moving</span>`}
    ${node.voter === false && html` <span class="badge">learner</span>`}
    ${node.id === cluster.node_id && html` <span class="muted small">this node</span>`}`;
}

// Console is a node's HTTP address, where its own console is.
function Console({node, here}) {
  if (here || !node.http) return html`<code>${node.http}</code>`;
  return html`<a href=${`http://${node.http}/`} rel="noreferrer"><code>${node.http}</code></a>`;
}

function Raft({cluster}) {
  const {raft} = cluster;
  const rows = [
    ['Controller', cluster.controller || 'none is known'],
    ['Term', count(raft.term)],
    ['Voters', raft.voters.join(', ')],
    ['Learners', raft.learners.join(', ') || 'none'],
    ['Last entry', count(raft.last_index)],
    ['Committed', count(raft.commit)],
    ['Applied', count(raft.applied)],
  ];
  return html`
    <h2>Metadata, as node ${cluster.node_id} knows it</h2>
    <dl class="facts" data-raft>${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <dl class="facts">
      <div><dt>Cluster</dt><dd><code>${cluster.cluster_id}</code></dd></div>
      <div><dt>Version</dt><dd><code>${cluster.version}</code></dd></div>
    </dl>`;
}

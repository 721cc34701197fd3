// The overview: is the cluster well, and how much is it doing.
import {useRef} from 'preact/hooks';
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {bytes, count, millis, short} from './format.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {interval, now, points, Rates} from './metrics.js';
import {allGroups, mostGroups} from './consumers.js';
import {Leaderless, NodeTable} from './nodes.js';
import {Plot} from './plot.js';
import {go, href} from './route.js';
import {Trouble} from './trouble.js';
import {Loaded, Notice} from './ui.js';

// Overview is the first view. In the URL: node, whose rates the plots show, else
// those of all nodes together.
export function Overview({query}) {
  const load = useLoad((signal) => get('/v1/cluster', {signal}), [], interval);
  const commands = [
    ['The cluster', curl('GET', '/v1/cluster')],
    ['What each node has done, for rates', curl('GET', '/v1/cluster/load')],
    ['This node’s metrics', curl('GET', '/metrics')],
  ];
  return html`
    <div class="title"><h1>Overview</h1><${CurlButton} commands=${commands} /></div>
    <${Loaded} load=${load}>${(cluster) => html`
      <${Leaderless} cluster=${cluster} />
      <${Health} cluster=${cluster} />
      ${cluster.offline_partitions + cluster.under_replicated_partitions > 0 && html`<${Trouble} beside=${beside} />`}
      <h2>Nodes</h2>
      <${NodeTable} cluster=${cluster} />
      <${Plots} node=${query.node ?? 'all'} />
      <${Lag} />`}
    <//>`;
}

// beside is the error of a part: that the node does not answer at all, the view
// says already.
const beside = (error) => (error?.code === 'unreachable' ? undefined : error);

function Health({cluster}) {
  const alive = cluster.nodes.filter((node) => node.alive).length;
  const well = cluster.controller ? 'good' : ''; // without one, nobody knows
  const offline = cluster.offline_partitions, under = cluster.under_replicated_partitions;
  const tiles = [
    ['Nodes alive', `${alive} of ${cluster.nodes.length}`, alive < cluster.nodes.length ? 'warn' : well],
    ['Controller', cluster.controller ? `node ${cluster.controller}` : 'none', cluster.controller ? '' : 'bad'],
    ['Partitions offline', count(offline), offline > 0 ? 'bad' : well],
    ['Under-replicated', count(under), under > 0 ? 'warn' : well],
    ['Topics', count(cluster.topics), ''],
    ['Partitions', count(cluster.partitions), ''],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, mood]) => html`
    <div class=${'tile ' + mood} data-tile=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const nothing = [[], [], [], [], [], []];

// Plots are those of the whole cluster, or of the node that the URL names: the
// node that is asked asks the others.
function Plots({node}) {
  const rates = useRef(new Rates());
  const {data, error} = useLoad((signal) => rates.current.read(signal), [], interval);
  const silent = data?.nodes.filter((n) => !n.answered).map((n) => n.id) ?? [];
  const [at, records, written, read, median, slow] = data?.columns.get(node) ?? nothing;
  const perSecond = (n) => (n === null ? '–' : short(n) + '/s');
  const flow = (n) => (n === null ? '–' : bytes(n) + '/s');
  return html`
    <div class="title plotted">
      <h2>${node === 'all' ? 'The whole cluster' : `Node ${node}`}, the last five minutes</h2>
      <label>Rates of${' '}
        <select name="node" value=${node} onChange=${(e) => go(href([], {node: e.target.value}))}>
          <option value="all">the whole cluster</option>
          ${data?.nodes.map(({id}) => html`<option value=${String(id)}>node ${id}</option>`)}
        </select></label>
    </div>
    <${Notice} problem=${beside(error)} />
    ${silent.length > 0 && html`<p class="muted small" data-silent>Without ${
      silent.map((id) => `node ${id}`).join(', ')}, which did not answer.</p>`}
    <div class="plots">
      <${Plot} title="Records appended" columns=${useColumns(at, records)} show=${perSecond}
        series=${[['appended', '--plot1']]} />
      <${Plot} title="Bytes" binary columns=${useColumns(at, written, read)} show=${flow}
        series=${[['appended', '--plot1'], ['read', '--plot2']]} />
      <${Plot} title="Commit cycle, sync included" columns=${useColumns(at, median, slow)} show=${millis}
        series=${[['median', '--plot1'], ['99 %', '--plot2']]} />
    </div>`;
}

// Lag is how far all groups together are behind.
function Lag() {
  const columns = useRef([[], []]);
  const {data, error} = useLoad(async (signal) => {
    const {groups, more} = await allGroups(signal);
    const row = [now(), groups.reduce((sum, g) => sum + g.lag, 0)];
    columns.current = columns.current.map((column, i) => [...column.slice(1 - points), row[i]]);
    return {columns: columns.current, more};
  }, [], interval);
  if (!data) return html`<${Notice} problem=${beside(error)} />`;
  const behind = (n) => (n === null ? '–' : short(n));
  return html`
    <h2>Consumer groups</h2>
    <${Notice} problem=${beside(error)} />
    <div class="plots">
      <${Plot} title=${data.more ? `Lag of the first ${mostGroups} groups` : 'Lag of all groups, in records'}
        columns=${data.columns} show=${behind} series=${[['lag', '--plot2']]} />
    </div>`;
}

// useColumns keeps the array of the columns while they are the same.
function useColumns(...columns) {
  const kept = useRef(columns);
  if (columns.some((column, i) => column !== kept.current[i])) kept.current = columns;
  return kept.current;
}

// One consumer group: members of both protocols, and how far it has come.
import {useState} from 'preact/hooks';
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {count} from './format.js';
import {GroupState} from './groups.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {Reset} from './reset.js';
import {href} from './route.js';
import {Loaded, Name, Table} from './ui.js';

// Group shows a group as it is now, anew every two seconds. In the URL: sort=lag,
// the partitions that are most behind first.
export function Group({name, query}) {
  const vars = {group: name};
  const [resetting, setResetting] = useState(false);
  const load = useLoad((signal) => get('/v1/groups/{group}', {vars, signal}), [], 2000);
  const commands = [
    ['The group', curl('GET', '/v1/groups/{group}', {vars})],
    ['Its lag', curl('GET', '/v1/groups/{group}/lag', {vars})],
  ];
  return html`
    <p class="crumbs"><a href=${href(['groups'])}>Groups</a> /</p>
    <div class="title">
      <${Name} name=${name} />
      <${CurlButton} commands=${commands} />
      <button type="button" disabled=${!load.data} onClick=${() => setResetting(true)}>Reset offsets</button>
    </div>
    <${Loaded} load=${load}>${(group) => html`
      <${Facts} group=${group} />
      <${Members} members=${group.members} />
      <${Lag} group=${group} byLag=${query.sort === 'lag'} />`}
    <//>
    ${resetting && html`<${Reset} group=${load.data} close=${() => { setResetting(false); load.reload(); }} />`}`;
}

function Facts({group}) {
  return html`
    <dl class="facts">
      <div><dt>State</dt><dd><${GroupState} state=${group.state} /></dd></div>
      <div><dt>Lag</dt><dd data-lag=${group.lag}>${count(group.lag)}</dd></div>
      <div><dt>Generation</dt><dd>${count(group.generation)}</dd></div>
      <div><dt>Assignor</dt><dd>${group.protocol || '–'}</dd></div>
      <div><dt>Coordinator</dt><dd>node ${group.coordinator}</dd></div>
    </dl>`;
}

// partitionsOf is an assignment in few words: "orders 0, 2".
function partitionsOf(assignment) {
  const topics = Map.groupBy(assignment, (part) => part.topic);
  return [...topics].map(([topic, parts]) => `${topic} ${parts.map((p) => p.partition).join(', ')}`).join('; ');
}

function Members({members}) {
  if (members.length === 0) return html`<h2>Members</h2><p class="empty">Nobody reads for this group now.</p>`;
  return html`
    <h2>Members</h2>
    <${Table} label="Members" head=${['Member', 'Protocol', 'Client', 'Host', 'Reads']}>
      ${members.map((m) => html`
        <tr key=${m.member} data-member=${m.member}>
          <th scope="row"><code>${m.member}</code>
            ${m.instance && html` <span class="badge">static ${m.instance}</span>`}</th>
          <td><span class="badge">${m.protocol === 'http' ? 'HTTP' : 'Kafka'}</span>${
            m.leader && html` <span class="muted small">leader</span>`}</td>
          <td>${m.client_id}</td>
          <td><code>${m.host}</code></td>
          <td>${partitionsOf(m.assignment) || html`<span class="muted">nothing</span>`}</td>
        </tr>`)}
    <//>`;
}

function Lag({group: {group, partitions, members}, byLag}) {
  if (partitions.length === 0) return html`<h2>Partitions</h2><p class="empty">Nothing is read or committed.</p>`;
  const named = new Map(members.map((m) => [m.member, m.client_id || m.member]));
  const sorted = byLag ? partitions.toSorted((a, b) => (b.lag ?? -1) - (a.lag ?? -1)) : partitions;
  const lag = {name: '#Lag', to: href(['groups', group], {sort: byLag ? '' : 'lag'}), sorted: byLag};
  return html`
    <h2>Partitions</h2>
    <${Table} label="Partitions" head=${['Topic', '#Partition', '#Committed', '#End', lag, 'Reader']}>
      ${sorted.map((p) => html`
        <tr key=${p.topic + '/' + p.partition} data-lag-of=${p.topic + '/' + p.partition}>
          <th scope="row"><a data-row href=${place(p)}>${p.topic}</a></th>
          <td class="number">${p.partition}</td>
          <td class="number">${count(p.committed)}</td>
          <td class="number">${count(p.end)}</td>
          <td class="number"><strong>${count(p.lag)}</strong>
            ${p.error && html` <span class="badge bad">${p.error}</span>`}</td>
          <td>${p.member ? html`<span title=${p.member}>${named.get(p.member) ?? p.member}</span>` : '–'}</td>
        </tr>`)}
    <//>`;
}

// place is where the group goes on reading a partition.
const place = (p) => href(['topics', p.topic], {partition: p.partition, offset: p.committed});

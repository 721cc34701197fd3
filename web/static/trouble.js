// Which partitions lack a leader or a replica.
import {get} from './api.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {href} from './route.js';
import {Loaded, Table} from './ui.js';

// mostTopics bounds the topics that are looked through, mostRows what is shown.
const mostTopics = 100;
const mostRows = 50;

async function troubled(signal) {
  const {topics} = await get('/v1/topics', {query: {limit: mostTopics}, signal});
  topics.sort((a, b) => Number(a.internal ?? false) - Number(b.internal ?? false)); // the users' own first
  const asked = await Promise.allSettled(topics.map(async ({name}) => {
    const {partitions} = await get('/v1/topics/{topic}/partitions', {vars: {topic: name}, signal});
    return partitions.filter((p) => !p.leader || p.isr.length < p.replicas.length).map((p) => ({name, ...p}));
  }));
  return asked.filter((a) => a.status === 'fulfilled').flatMap((a) => a.value);
}

// Trouble lists them, while the overview counts any; beside chooses the errors to
// show.
export function Trouble({beside}) {
  const load = useLoad(troubled, [], 5000);
  return html`
    <h2>Partitions that need attention</h2>
    <${Loaded} load=${{...load, error: beside(load.error)}}>${(list) => html`
      <${Table} label="Partitions that need attention" head=${['Topic', '#Partition', 'Leader', 'Not in sync']}>
        ${list.slice(0, mostRows).map((p) => html`
          <tr key=${p.name + '/' + p.partition} data-trouble=${p.name + '/' + p.partition}>
            <th scope="row"><a data-row href=${href(['topics', p.name, 'partitions'])}>${p.name}</a></th>
            <td class="number">${p.partition}</td>
            <td class="line">${p.leader ? `node ${p.leader}` : html`<span class="badge bad">offline</span>`}</td>
            <td class="line">${p.replicas.filter((id) => !p.isr.includes(id)).map((id) => `node ${id}`).join(', ')}</td>
          </tr>`)}
      <//>
      ${list.length > mostRows && html`<p class="muted small">The first ${mostRows} of ${list.length}.</p>`}`}
    <//>`;
}

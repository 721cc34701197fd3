// A topic's partitions: who leads, who is in sync, how far each goes.
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {bytes, count} from './format.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {href} from './route.js';
import {Loaded, Table} from './ui.js';

const head = ['Partition', 'Leader', '#Epoch', 'Replicas', 'In sync', '#Start', '#End', '#Records', '#On this node'];

// Partitions is a part of the topic's view.
export function Partitions({name}) {
  const vars = {topic: name};
  const load = useLoad((signal) => get('/v1/topics/{topic}/partitions', {vars, signal}), [], 2000);
  return html`
    <div class="bar"><span class="grow"></span>
      <${CurlButton} commands=${[['The partitions', curl('GET', '/v1/topics/{topic}/partitions', {vars})]]} /></div>
    <${Loaded} load=${load}>${({partitions}) => html`
      <${Table} label="Partitions" head=${head}>
        ${partitions.map((p) => html`<${Row} key=${p.partition} name=${name} p=${p} />`)}
      <//>
      <p class="muted small">End is the high watermark: the next offset that readers get. Records counts offsets
        between start and end, some of which compaction may have emptied.</p>`}
    <//>`;
}

function Row({name, p}) {
  const away = p.replicas.filter((id) => !p.isr.includes(id));
  const length = p.high_watermark === undefined ? undefined : p.high_watermark - p.log_start_offset;
  return html`
    <tr data-partition=${p.partition}>
      <th scope="row"><a data-row href=${href(['topics', name], {partition: p.partition})}>${p.partition}</a></th>
      <td class="line">${p.leader ? `node ${p.leader}` : html`<span class="badge bad">offline</span>`}</td>
      <td class="number">${count(p.leader_epoch)}</td>
      <td class="line">${p.replicas.join(', ')}
        ${p.target && html` <span class="badge warn">moving to ${p.target.join(', ')}</span>`}</td>
      <td class="line">${p.isr.join(', ')}
        ${away.length > 0 && html` <span class="badge warn">without ${away.join(', ')}</span>`}</td>
      <td class="number">${count(p.log_start_offset)}</td>
      <td class="number">${count(p.high_watermark)}</td>
      <td class="number">${count(length)}</td>
      <td class="number">${p.bytes === undefined ? '–' : bytes(p.bytes)}</td>
    </tr>`;
}

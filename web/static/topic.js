// One topic: its records, partitions and configs, and its end.
import {useState} from 'preact/hooks';
import {del, get} from './api.js';
import {Configs} from './configs.js';
import {Consumers} from './consumers.js';
import {CurlButton, curl} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {useAct, useLoad} from './load.js';
import {Partitions} from './partitions.js';
import {Produce} from './produce.js';
import {Records} from './records.js';
import {go, href} from './route.js';
import {Loaded, Name, Tabs, TypedConfirm} from './ui.js';

// Topic has its part in the path: "#/topics/NAME/partitions". The records are
// what it begins with.
export function Topic({name, part = 'records', query}) {
  const vars = {topic: name};
  const load = useLoad((signal) => get('/v1/topics/{topic}', {vars, signal}), [part]);
  const tabs = [
    ['records', 'Records', href(['topics', name])],
    ['partitions', 'Partitions', href(['topics', name, 'partitions'])],
    ['consumers', 'Consumers', href(['topics', name, 'consumers'])],
    ['configs', 'Configs', href(['topics', name, 'configs'])],
  ];
  const shown = (topic) => {
    if (part === 'partitions') return html`<${Partitions} name=${name} />`;
    if (part === 'consumers') return html`<${Consumers} name=${name} />`;
    if (part === 'configs') return html`<${Configs} topic=${topic} changed=${load.reload} />`;
    return html`<${Records} topic=${topic} query=${query} />`;
  };
  return html`
    <p class="crumbs"><a href=${href(['topics'])}>Topics</a> /</p>
    <div class="title">
      <${Name} name=${name} />
      <${Actions} topic=${load.data} />
    </div>
    <${Tabs} tabs=${tabs} at=${part} />
    <${Loaded} load=${load}>${shown}<//>`;
}

// Actions are the topic's buttons. They have their places from the start, but do
// nothing before the topic is known, nor for those of the broker itself.
function Actions({topic}) {
  const [open, setOpen] = useState('');
  const close = () => setOpen('');
  const off = !topic || topic.internal;
  const why = topic?.internal ? 'The broker keeps this topic for itself' : '';
  return html`
    <button type="button" class="danger" disabled=${off} title=${why} onClick=${() => setOpen('delete')}>Delete</button>
    <button type="button" class="main" disabled=${off} title=${why}
      onClick=${() => setOpen('produce')}>Write a record</button>
    ${open === 'delete' && html`<${Delete} topic=${topic} close=${close} />`}
    ${open === 'produce' && html`<${Produce} topic=${topic} close=${close} />`}`;
}

function Delete({topic, close}) {
  const {act, busy, error} = useAct();
  const vars = {topic: topic.name};
  const confirm = async () => {
    const done = await act(() => del('/v1/topics/{topic}', {vars}));
    if (done !== undefined) go(href(['topics']));
  };
  return html`
    <${TypedConfirm} title="Delete the topic" name=${topic.name} button="Delete for good" confirm=${confirm}
      close=${close} busy=${busy} problem=${error}>
      <p>The topic goes with all records of its ${count(topic.partitions)}${' '}
        ${topic.partitions === 1 ? 'partition' : 'partitions'}, on every node. Nothing brings them back.</p>
      <${CurlButton} commands=${[['Delete the topic', curl('DELETE', '/v1/topics/{topic}', {vars})]]} />
    <//>`;
}

// A topic's configs: what holds, what was set, and changing one.
import {useState} from 'preact/hooks';
import {patch} from './api.js';
import {CurlButton, curl} from './curl.js';
import {html} from './html.js';
import {useAct} from './load.js';
import {Field, Modal, Notice, Table} from './ui.js';

// Configs is a part of the topic's view; changed is called after a change.
export function Configs({topic, changed}) {
  const [editing, setEditing] = useState();
  const vars = {topic: topic.name};
  return html`
    <div class="bar"><span class="grow"></span>
      <${CurlButton} commands=${[['The topic with its configs', curl('GET', '/v1/topics/{topic}', {vars})]]} /></div>
    <${Table} label="Configs" head=${['Config', 'Value', 'Source', '~Default', 'Edit']}>
      ${topic.effective_configs.map((entry) => html`
        <tr key=${entry.name} data-config=${entry.name}>
          <th scope="row"><code>${breakable(entry.name)}</code></th>
          <td><code>${entry.value}</code></td>
          <td data-source=${entry.is_default ? 'default' : 'topic'}>${entry.is_default
            ? html`<span class="muted">default</span>` : html`<span class="badge good">topic</span>`}</td>
          <td class="muted spare"><code>${entry.default}</code></td>
          <td>${!topic.internal && html`
            <button type="button" data-row class="plain" aria-label=${'Change ' + entry.name}
              onClick=${() => setEditing(entry)}>Change</button>`}</td>
        </tr>`)}
    <//>
    ${editing && html`<${Change} topic=${topic} entry=${editing} close=${() => setEditing(undefined)}
      changed=${() => { setEditing(undefined); changed(); }} />`}`;
}

// breakable is a name that can go on in another line after each of its dots.
const breakable = (name) => name.split('.').map((part, i) => html`${i > 0 && html`.<wbr />`}${part}`);

function Change({topic, entry, close, changed}) {
  const [value, setValue] = useState(entry.value);
  const {act, busy, error} = useAct();
  const vars = {topic: topic.name};
  const to = (next) => ({configs: {[entry.name]: next}});
  const save = async (next) => {
    const done = await act(() => patch('/v1/topics/{topic}', {vars, body: to(next)}));
    if (done) changed();
  };
  const command = curl('PATCH', '/v1/topics/{topic}', {vars, body: to(value), type: 'application/merge-patch+json'});
  return html`
    <${Modal} title=${'Change ' + entry.name} close=${close}>
      <form onSubmit=${(event) => { event.preventDefault(); save(value); }}>
        <${Field} label="Value" hint=${'Default: ' + entry.default}>
          <input name="value" autofocus autocomplete="off" spellcheck=${false} value=${value}
            onInput=${(event) => setValue(event.target.value)} />
        <//>
        <${Notice} problem=${error} />
        <footer>
          <${CurlButton} commands=${[['Set it', command]]} />
          ${!entry.is_default && html`
            <button type="button" disabled=${busy} onClick=${() => save(null)}>Back to the default</button>`}
          <button class="main" disabled=${busy}>Set</button>
        </footer>
      </form>
    <//>`;
}

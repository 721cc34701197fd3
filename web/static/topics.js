// The list of topics, and making one.
import {useState} from 'preact/hooks';
import {get, post} from './api.js';
import {CurlButton, curl} from './curl.js';
import {count, time} from './format.js';
import {html} from './html.js';
import {useAct, useLoad} from './load.js';
import {go, href} from './route.js';
import {Field, Loaded, Modal, Notice, Search, Table} from './ui.js';

// Topics lists topics by name. In the URL: q (the beginning of the name), page
// (the token of a later page).
export function Topics({query}) {
  const {q = '', page} = query;
  const [making, setMaking] = useState(false);
  const options = {query: {prefix: q || undefined, page_token: page}};
  const load = useLoad((signal) => get('/v1/topics', {...options, signal}), [q, page], 5000);
  return html`
    <div class="title">
      <h1>Topics</h1>
      <${CurlButton} commands=${[['These topics', curl('GET', '/v1/topics', options)]]} />
      <button type="button" class="main" onClick=${() => setMaking(true)}>New topic</button>
    </div>
    <${Search} label="Name begins with" value=${q} changed=${(value) => go(href(['topics'], {q: value}), true)} />
    <${Loaded} load=${load}>${(list) => html`
      ${list.topics.length === 0
        ? html`<p class="empty">${q ? `No topic begins with “${q}”.` : 'There is no topic yet.'}</p>`
        : html`<${List} topics=${list.topics} />`}
      <${Pages} section="topics" q=${q} page=${page} next=${list.next_page_token} />`}
    <//>
    ${making && html`<${NewTopic} close=${() => setMaking(false)} />`}`;
}

// Pages leads through a list that the API gives out by tokens: forward by the
// next one, back by the history, which is what the first page is for.
export function Pages({section, q, page, next}) {
  if (!page && !next) return null;
  return html`<nav class="pages" aria-label="Pages">
    ${page && html`<a href=${href([section], {q})}>First page</a>`}
    ${next && html`<a data-next href=${href([section], {q, page: next})}>Next page</a>`}
  </nav>`;
}

function List({topics}) {
  return html`<${Table} label="Topics" head=${['Name', '#Partitions', '#Replicas', 'Configs', 'Created']}>
    ${topics.map((topic) => html`
      <tr key=${topic.id}>
        <th scope="row">
          <a data-row href=${href(['topics', topic.name])}>${topic.name}</a>
          ${topic.internal && html` <span class="badge">internal</span>`}
        </th>
        <td class="number">${count(topic.partitions)}</td>
        <td class="number">${count(topic.replication_factor)}</td>
        <td class="clip"><code>${configsText(topic.configs)}</code></td>
        <td><time title=${topic.created_at}>${time(Date.parse(topic.created_at)).slice(0, 16)}</time></td>
      </tr>`)}
  <//>`;
}

const configsText = (configs) => Object.entries(configs).map(([name, value]) => `${name}=${value}`).join(' ');

// configsOf reads "name=value" lines.
function configsOf(text) {
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean);
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf('=');
    return at < 0 ? [line, ''] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }));
}

function NewTopic({close}) {
  const [form, setForm] = useState({name: '', partitions: '1', replicas: '', configs: ''});
  const {act, busy, error} = useAct();
  const set = (member) => (event) => setForm({...form, [member]: event.target.value});
  const body = {name: form.name.trim()};
  if (form.partitions) body.partitions = Number(form.partitions);
  if (form.replicas) body.replication_factor = Number(form.replicas);
  if (form.configs.trim()) body.configs = configsOf(form.configs);
  const submit = async (event) => {
    event.preventDefault();
    const made = await act(() => post('/v1/topics', {body}));
    if (made) go(href(['topics', made.name]));
  };
  return html`
    <${Modal} title="New topic" close=${close}>
      <form onSubmit=${submit}>
        <${Field} label="Name" hint="Letters, digits, “.”, “_” and “-”">
          <input name="name" autofocus required autocomplete="off" spellcheck=${false} value=${form.name}
            onInput=${set('name')} />
        <//>
        <div class="fields">
          <${Field} label="Partitions">
            <input name="partitions" type="number" min="1" value=${form.partitions} onInput=${set('partitions')} />
          <//>
          <${Field} label="Replicas">
            <input name="replicas" type="number" min="1" placeholder="cluster’s default" value=${form.replicas}
              onInput=${set('replicas')} />
          <//>
        </div>
        <${Field} label="Configs" hint="One a line, such as retention.ms=604800000">
          <textarea name="configs" rows="3" spellcheck=${false} value=${form.configs}
            onInput=${set('configs')}></textarea>
        <//>
        <${Notice} problem=${error} />
        <footer>
          <${CurlButton} commands=${[['Create this topic', curl('POST', '/v1/topics', {body})]]} />
          <button type="button" onClick=${close}>Cancel</button>
          <button class="main" disabled=${busy}>Create</button>
        </footer>
      </form>
    <//>`;
}

// Moving a group's committed offsets, after a look at what that would do.
import {useState} from 'preact/hooks';
import {put} from './api.js';
import {CurlButton, curl} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {useAct} from './load.js';
import {Field, Modal, Notice, Table} from './ui.js';

const path = '/v1/groups/{group}/offsets';

const places = [
  ['earliest', 'the first record'],
  ['latest', 'the end: skip what is there'],
  ['offset', 'an offset'],
  ['timestamp', 'a time'],
];

// wanted is the request that the form describes; undefined while it lacks something.
function wanted({topic, partitions, to, offset, when}) {
  const body = {topic, to};
  if (!topic) return undefined;
  if (to === 'offset') {
    if (!/^\d+$/.test(offset)) return undefined;
    body.offset = Number(offset);
  }
  if (to === 'timestamp') {
    body.timestamp = new Date(when).getTime();
    if (Number.isNaN(body.timestamp)) return undefined;
  }
  if (partitions.trim()) {
    if (!/^\s*\d+(\s*,\s*\d+)*\s*$/.test(partitions)) return undefined;
    body.partitions = partitions.split(',').map(Number);
  }
  return body;
}

// Reset previews first: the button that does it needs the preview of the very
// same request. It has its place before: a second click on "Preview" must not
// fall upon it.
export function Reset({group, close}) {
  const topics = [...new Set([...group.partitions, ...group.members.flatMap((m) => m.assignment)].map((p) => p.topic))];
  const [form, setForm] = useState({topic: topics[0] ?? '', partitions: '', to: 'earliest', offset: '', when: ''});
  const [result, setResult] = useState();
  const {act, busy, error, clear} = useAct();
  const set = (member) => (event) => {
    setForm({...form, [member]: event.target.value});
    setResult(undefined);
    clear();
  };
  const vars = {group: group.group}, body = wanted(form);
  const run = async (dry) => setResult(await act(() => put(path, {vars, body: {...body, dry_run: dry}})));
  const commands = body ? [
    ['Preview', curl('PUT', path, {vars, body: {...body, dry_run: true}})],
    ['Reset', curl('PUT', path, {vars, body})],
  ] : [];
  const submit = (event) => {
    event.preventDefault();
    if (body) run(true);
  };
  return html`
    <${Modal} title=${'Reset offsets of ' + group.group} wide close=${close}>
      <form onSubmit=${submit}>
        ${group.members.length > 0 && html`<p class="notice warn">The group has members. A preview works; to move the
          offsets, stop them first.</p>`}
        <div class="fields">
          <${Field} label="Topic">
            <input name="topic" required list="reset-topics" autocomplete="off" value=${form.topic}
              onInput=${set('topic')} />
          <//>
          <datalist id="reset-topics">${topics.map((name) => html`<option value=${name} />`)}</datalist>
          <${Field} label="Partitions" hint="Such as 0, 2; empty: all">
            <input name="partitions" autocomplete="off" value=${form.partitions} onInput=${set('partitions')} />
          <//>
        </div>
        <div class="fields">
          <${Field} label="To">
            <select name="to" value=${form.to} onChange=${set('to')}>
              ${places.map(([id, name]) => html`<option value=${id}>${name}</option>`)}
            </select>
          <//>
          ${form.to === 'offset' && html`<${Field} label="Offset">
            <input name="offset" inputmode="numeric" value=${form.offset} onInput=${set('offset')} /><//>`}
          ${form.to === 'timestamp' && html`<${Field} label="Time">
            <input name="when" type="datetime-local" step="1" value=${form.when} onInput=${set('when')} /><//>`}
        </div>
        ${result && html`<${Moves} result=${result} />`}
        <${Notice} problem=${error} />
        <footer>
          <${CurlButton} commands=${commands} />
          <button type="button" onClick=${close}>Close</button>
          <button class=${result?.dry_run ? '' : 'main'} disabled=${busy || !body}>Preview</button>
          <button type="button" class="danger" disabled=${busy || !result?.dry_run}
            onClick=${() => run(false)}>Reset</button>
        </footer>
      </form>
    <//>`;
}

function Moves({result}) {
  return html`
    <h3 role="status">${result.dry_run ? 'This is what would be done' : 'Done'}</h3>
    <${Table} label="Moves" head=${['Topic', '#Partition', '#From', '#To', '#By']}>
      ${result.offsets.map((move) => html`
        <tr data-move=${move.topic + '/' + move.partition}>
          <th scope="row">${move.topic}</th>
          <td class="number">${move.partition}</td>
          <td class="number">${count(move.from)}</td>
          <td class="number">${count(move.to)}</td>
          <td class="number">${move.from === undefined ? '–' : signed(move.to - move.from)}</td>
        </tr>`)}
    <//>`;
}

const signed = (n) => (n > 0 ? '+' : '') + count(n);

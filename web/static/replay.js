// Writing a record once more, into another topic or its own.
import {useState} from 'preact/hooks';
import {get, post} from './api.js';
import {CurlButton, curl} from './curl.js';
import {html} from './html.js';
import {useAct, useLoad} from './load.js';
import {freshKey, Written} from './produce.js';
import {Field, Modal, Notice} from './ui.js';

// Replay copies key, value and headers, byte for byte; partition, offset and
// time are new. A repeat after a failure is the same write.
export function Replay({record, close}) {
  const [topic, setTopic] = useState('');
  const [token, setToken] = useState(freshKey);
  const [written, setWritten] = useState();
  const {act, busy, error} = useAct();
  const names = useLoad((signal) => get('/v1/topics', {signal}), []);
  const {key, key_encoding, value, encoding, headers} = record;
  const copy = {value, headers};
  if (value !== null) copy.encoding = encoding;
  if (key !== null) Object.assign(copy, {key, key_encoding});
  const vars = {topic}, body = {records: [copy]};
  const commands = topic ? [['Write the copy', curl('POST', '/v1/topics/{topic}/batches', {vars, body})]] : [];
  const submit = async (event) => {
    event.preventDefault();
    setWritten(undefined);
    const answer = await act(() =>
      post('/v1/topics/{topic}/batches', {vars, body, headers: {'Idempotency-Key': token}}));
    if (!answer) return;
    setWritten({topic, ...answer.results[0]});
    setToken(freshKey());
  };
  return html`
    <${Modal} title="Write this record again" close=${close}>
      <form onSubmit=${submit}>
        <${Field} label="Topic" hint="Key, value and headers are copied; partition, offset and time are new">
          <input name="target" autofocus required list="replay-topics" autocomplete="off" spellcheck=${false}
            value=${topic} onInput=${(e) => { setTopic(e.target.value.trim()); setToken(freshKey()); }} />
        <//>
        <datalist id="replay-topics">${(names.data?.topics ?? []).filter((t) => !t.internal)
          .map((t) => html`<option value=${t.name} />`)}</datalist>
        <${Notice} problem=${error} />
        ${written && html`<${Written} topic=${written.topic} at=${written} close=${close} />`}
        <footer>
          <${CurlButton} commands=${commands} />
          <button type="button" onClick=${close}>Close</button>
          <button class="main" disabled=${busy || !topic}>Write again</button>
        </footer>
      </form>
    <//>`;
}

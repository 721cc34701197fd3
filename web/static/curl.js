// "Copy as curl": what a view shows or does, as a command line.
import {useState} from 'preact/hooks';
import {url} from './api.js';
import {html} from './html.js';
import {Modal} from './ui.js';

// quoted is a word of a POSIX shell.
export const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

// curl is the command for a request. Options: vars, query, body (sent as JSON),
// type (of a body that is not plain JSON), headers ("Name: value"), stream.
export function curl(method, path, options = {}) {
  const {body, type, headers = [], stream} = options;
  const words = ['curl'];
  if (stream) words.push('-N');
  if (body !== undefined) {
    if (type) words.push('-H', quoted('Content-Type: ' + type), '-d', quoted(JSON.stringify(body)));
    else words.push('--json', quoted(JSON.stringify(body)));
  }
  if (method !== (body === undefined ? 'GET' : 'POST')) words.push('-X', method);
  for (const header of headers) words.push('-H', quoted(header));
  words.push(quoted(location.origin + url(path, options)));
  return words.join(' ');
}

// kcat is a list of one command for the Kafka client of that name, as CurlButton
// takes them; of none while the node's Kafka address is not known.
export const kcat = (what, address, words) =>
  (address ? [[`${what}, with kcat`, ['kcat', '-b', address, ...words].map(quoted).join(' ')]] : []);

// kcatWrite writes a record of one line, which is all that kcat takes as text.
export function kcatWrite(address, topic, {partition, key, value, headers = []}) {
  if (!address || value === null || /[\n\r]/.test(value)) return [];
  const words = ['kcat', '-b', address, '-P', '-t', topic];
  if (partition !== undefined) words.push('-p', String(partition));
  if (key !== undefined) words.push('-k', key);
  for (const {name, value: text} of headers) words.push('-H', text === null ? name : `${name}=${text}`);
  return [['Write it, with kcat', `echo ${quoted(value)} | ${words.map(quoted).join(' ')}`]];
}

// CurlButton opens a view's commands; commands is [[what, command]]. Without any
// it keeps its place, disabled.
export function CurlButton({commands}) {
  const [open, setOpen] = useState(false);
  return html`
    <button type="button" disabled=${commands.length === 0} onClick=${() => setOpen(true)}>Copy as curl</button>
    ${open && html`<${Modal} title="The same with curl" wide close=${() => setOpen(false)}>
      ${commands.map(([what, command]) => html`<${Command} key=${command} what=${what} command=${command} />`)}
    <//>`}`;
}

// Command is one command with its button. Where the browser has no clipboard
// (a page that is not from a secure origin), the text is selected instead.
function Command({what, command}) {
  const [done, setDone] = useState('');
  const copy = async (event) => {
    const text = event.target.closest('.command').querySelector('pre');
    try {
      await navigator.clipboard.writeText(command);
      setDone('Copied');
    } catch {
      getSelection().selectAllChildren(text);
      setDone('Selected');
    }
  };
  return html`
    <section class="command">
      <header><h3>${what}</h3><button type="button" onClick=${copy}>${done || 'Copy'}</button></header>
      <pre tabindex="0">${command}</pre>
    </section>`;
}

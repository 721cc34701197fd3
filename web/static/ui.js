// Small parts that all views are made of.
import {useEffect, useRef, useState} from 'preact/hooks';
import {html} from './html.js';

// Notice shows a Problem: what, why, whether anything was done, whether a
// repeat can help. again, if given, is what "Try again" does.
export function Notice({problem, again}) {
  if (!problem) return null;
  const outcome = problem.outcome === 'unknown'
    ? 'It is not known whether anything was done.' : 'Nothing was changed.';
  return html`
    <div class="notice bad" role="alert">
      <strong>${problem.title ?? 'The console failed'}</strong>
      <p>${problem.detail ?? problem.message}</p>
      <p class="muted small">
        ${problem.outcome && outcome} ${problem.retryable && ' The same request can succeed later.'}
        ${problem.code && html` <code>${problem.code}</code>`}
        ${problem.trace_id && html` trace <code>${problem.trace_id}</code>`}
      </p>
      ${again && html`<button type="button" onClick=${again}>Try again</button>`}
    </div>`;
}

// Loaded shows a view once its data is there: children is called with it. An
// error is shown above the last data, if there is any.
export function Loaded({load, children}) {
  return html`
    <${Notice} problem=${load.error} again=${load.reload} />
    ${load.data === undefined
      ? !load.error && html`<p class="muted" aria-busy="true">Loading…</p>`
      : children(load.data)}`;
}

// Modal is a dialog that is open as long as it is in the page. Esc and a click
// beside it close it (a second Esc in a row does so without asking: onClose); the
// focus goes back to where it was.
export function Modal({title, close, children, wide}) {
  const ref = useRef();
  useEffect(() => {
    const dialog = ref.current, opener = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      opener?.focus(); // the dialog is out of the page by now: it does not do so itself
    };
  }, []);
  const beside = (event) => event.target === ref.current && close();
  return html`
    <dialog ref=${ref} class=${wide ? 'wide' : ''} aria-label=${title} onMouseDown=${beside}
      onClose=${() => ref.current && close()}
      onCancel=${(event) => { event.preventDefault(); close(); }}>
      <div class="dialog">
        <header>
          <h2>${title}</h2>
          <button type="button" class="plain" aria-label="Close" onClick=${close}>✕</button>
        </header>
        ${children}
      </div>
    </dialog>`;
}

// Name is the heading of a topic or group; a long one is smaller.
export function Name({name}) {
  return html`<h1 class=${name.length > 60 ? 'name long' : 'name'}>${name}</h1>`;
}

// Field labels an input. hint says what may be put in.
export function Field({label, hint, children}) {
  return html`<label class="field"><span>${label}</span>${children}${hint && html`<small>${hint}</small>`}</label>`;
}

// TypedConfirm asks for a name to be typed before something is destroyed.
// confirm is called when the button is pressed; busy and problem are its.
export function TypedConfirm({title, name, button, children, confirm, close, busy, problem}) {
  const [typed, setTyped] = useState('');
  const submit = (event) => {
    event.preventDefault();
    if (typed === name) confirm();
  };
  return html`
    <${Modal} title=${title} close=${close}>
      <form onSubmit=${submit}>
        ${children}
        <${Field} label=${html`Type <code>${name}</code> to confirm`}>
          <input autofocus autocomplete="off" spellcheck=${false} value=${typed}
            onInput=${(event) => setTyped(event.target.value)} />
        <//>
        <${Notice} problem=${problem} />
        <footer>
          <button type="button" onClick=${close}>Cancel</button>
          <button class="danger" disabled=${typed !== name || busy}>${button}</button>
        </footer>
      </form>
    <//>`;
}

// Search is the field of a list, which "/" goes to. changed gets each input.
export function Search({label, value, changed}) {
  return html`
    <input type="search" data-search class="search" aria-label=${label} placeholder=${label + '  ( / )'}
      autocomplete="off" spellcheck=${false} value=${value} onInput=${(event) => changed(event.target.value)} />`;
}

// Table is a table in a box of its own, which scrolls when it is too wide. Of
// the columns' names, "#" marks numbers and "~" what small screens can spare. One
// to sort by is {name, to, sorted}: where its link leads, and whether it holds.
export function Table({label, head, children}) {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table>
        <thead><tr>${head.map((column) => html`<${Column} ...${column.name ? column : {name: column}} />`)}</tr></thead>
        <tbody>${children}</tbody>
      </table>
    </div>`;
}

const columns = {'#': 'number', '~': 'spare'};

function Column({name, to, sorted}) {
  const text = columns[name[0]] ? name.slice(1) : name;
  return html`
    <th scope="col" class=${columns[name[0]]} aria-sort=${sorted ? 'descending' : undefined}>${
      to ? html`<a href=${to}>${text}${sorted ? ' ▾' : ''}</a>` : text}</th>`;
}

// Tabs are links to the parts of a view; tabs is [[id, name, fragment]].
export function Tabs({tabs, at}) {
  return html`<nav class="tabs" aria-label="Parts">${tabs.map(([id, name, to]) =>
    html`<a href=${to} aria-current=${id === at ? 'page' : undefined}>${name}</a>`)}</nav>`;
}

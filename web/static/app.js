// The console's frame: navigation, the view that the URL asks for, keys, theme.
import {render} from 'preact';
import {useEffect, useErrorBoundary, useLayoutEffect, useState} from 'preact/hooks';
import {get} from './api.js';
import {ClusterContext} from './cluster.js';
import {Group} from './group.js';
import {Groups} from './groups.js';
import {html} from './html.js';
import {keys, listen} from './keys.js';
import {useLoad} from './load.js';
import {Leaderless, Nodes} from './nodes.js';
import {Overview} from './overview.js';
import {href, useRoute} from './route.js';
import {nextTheme, showTheme, theme} from './theme.js';
import {Topic} from './topic.js';
import {Topics} from './topics.js';
import {Modal, Notice} from './ui.js';

const sections = [
  ['', 'Overview'],
  ['topics', 'Topics'],
  ['groups', 'Groups'],
  ['nodes', 'Nodes'],
];

// View chooses by the path. Its key makes another topic another view, which
// begins anew, while another page of it is the same view.
function View({path, query}) {
  const [section = '', name] = path;
  const [failure, again] = useErrorBoundary();
  if (failure) return html`<${Notice} problem=${failure} again=${again} />`;
  if (section === '' && path.length === 0) return html`<${Overview} query=${query} />`;
  if (section === 'topics' && name === undefined) return html`<${Topics} query=${query} />`;
  if (section === 'topics') return html`<${Topic} key=${name} name=${name} part=${path[2]} query=${query} />`;
  if (section === 'groups' && name === undefined) return html`<${Groups} query=${query} />`;
  if (section === 'groups') return html`<${Group} key=${name} name=${name} query=${query} />`;
  if (section === 'nodes') return html`<${Nodes} />`;
  return html`<h1>There is nothing here</h1><p><a href=${href([])}>Go to the overview</a></p>`;
}

function Help({close}) {
  return html`
    <${Modal} title="Keys" close=${close}>
      <dl class="keys">${keys.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <//>`;
}

// Where names the node that is asked.
function Where({data}) {
  if (!data) return html`<span class="where muted">${location.host}</span>`;
  return html`
    <span class="where muted" title=${'cluster ' + data.cluster_id}>node ${data.node_id} · ${location.host}</span>`;
}

function App() {
  const {path, query} = useRoute();
  const cluster = useLoad((signal) => get('/v1/cluster', {signal}), [], 5000);
  const [help, setHelp] = useState(false);
  const [choice, setChoice] = useState(theme);
  useEffect(() => listen(() => setHelp(true)), []);
  useLayoutEffect(() => showTheme(choice), [choice]);
  const section = path[0] ?? '';
  useEffect(() => {
    const name = sections.find(([id]) => id === section)?.[1];
    document.title = [path[1], name, 'Chronik'].filter(Boolean).join(' · ');
  }, [section, path[1]]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <a class="brand" href=${href([])}><img src="/assets/icon.svg" alt="" width="24" height="24" />Chronik</a>
      <nav aria-label="Sections">${sections.map(([id, name]) =>
        html`<a href=${href(id ? [id] : [])} aria-current=${id === section ? 'page' : undefined}>${name}</a>`)}</nav>
      <${Where} data=${cluster.data} />
      <button type="button" class="plain" onClick=${() => setChoice(nextTheme)}>Theme: ${choice}</button>
      <button type="button" class="plain" aria-label="Keys" onClick=${() => setHelp(true)}>?</button>
    </header>
    <${ClusterContext.Provider} value=${cluster.data}>
      <main id="main" tabindex="-1">
        ${cluster.data && ['topics', 'groups'].includes(section) && html`<${Leaderless} cluster=${cluster.data} />`}
        <${View} key=${section} path=${path} query=${query} />
      </main>
    <//>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}`;
}

// skip keeps the fragment, which is the view's.
function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

const root = document.getElementById('app');
root.replaceChildren();
render(html`<${App} />`, root);

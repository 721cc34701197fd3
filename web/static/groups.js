// The list of consumer groups.
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {go, href} from './route.js';
import {Pages} from './topics.js';
import {Loaded, Search, Table} from './ui.js';

// Groups lists groups by name. In the URL: q (the beginning of the name), page.
export function Groups({query}) {
  const {q = '', page} = query;
  const options = {query: {prefix: q || undefined, page_token: page}};
  const load = useLoad((signal) => get('/v1/groups', {...options, signal}), [q, page], 5000);
  return html`
    <div class="title">
      <h1>Groups</h1>
      <${CurlButton} commands=${[['These groups', curl('GET', '/v1/groups', options)]]} />
    </div>
    <${Search} label="Name begins with" value=${q} changed=${(value) => go(href(['groups'], {q: value}), true)} />
    <${Loaded} load=${load}>${(list) => html`
      ${list.groups.length === 0
        ? html`<p class="empty">${q ? `No group begins with “${q}”.` : 'There is no consumer group yet.'}</p>`
        : html`<${List} groups=${list.groups} />`}
      <${Pages} section="groups" q=${q} page=${page} next=${list.next_page_token} />`}
    <//>`;
}

function List({groups}) {
  return html`<${Table} label="Groups" head=${['Name', 'State', 'Kind']}>
    ${groups.map((group) => html`
      <tr key=${group.group}>
        <th scope="row"><a data-row href=${href(['groups', group.group])}>${group.group}</a></th>
        <td><${GroupState} state=${group.state} /></td>
        <td>${group.protocol_type || html`<span class="muted">none yet</span>`}</td>
      </tr>`)}
  <//>`;
}

// GroupState is a group's state as a badge.
export function GroupState({state}) {
  const mood = state === 'Stable' ? 'good' : state === 'Empty' ? '' : 'warn';
  return html`<span class=${'badge ' + mood}>${state}</span>`;
}

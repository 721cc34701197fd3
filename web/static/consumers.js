// Which consumer groups read a topic.
import {get} from './api.js';
import {CurlButton, curl} from './curl.js';
import {count} from './format.js';
import {GroupState} from './groups.js';
import {html} from './html.js';
import {useLoad} from './load.js';
import {href} from './route.js';
import {Loaded, Table} from './ui.js';

// mostGroups bounds what a look over all groups asks for.
export const mostGroups = 50;

// allGroups describes the first groups by name. One that goes meanwhile is left out.
export async function allGroups(signal) {
  const {groups, next_page_token: more} = await get('/v1/groups', {query: {limit: mostGroups}, signal});
  const described = await Promise.allSettled(groups.map(({group}) =>
    get('/v1/groups/{group}', {vars: {group}, signal})));
  return {groups: described.filter((d) => d.status === 'fulfilled').map((d) => d.value), more: more !== undefined};
}

// Consumers is a part of the topic's view.
export function Consumers({name}) {
  const load = useLoad(allGroups, [], 4000);
  const reads = (group) => group.partitions.filter((p) => p.topic === name);
  return html`
    <div class="bar"><span class="grow"></span>
      <${CurlButton} commands=${[['The groups', curl('GET', '/v1/groups')]]} /></div>
    <${Loaded} load=${load}>${({groups, more}) => html`
      <${List} groups=${groups.map((g) => ({...g, parts: reads(g)})).filter((g) => g.parts.length > 0)} />
      ${more && html`<p class="muted small">Only the first ${mostGroups} groups by name were asked.</p>`}`}
    <//>`;
}

function List({groups}) {
  if (groups.length === 0) return html`<p class="empty">No consumer group reads this topic.</p>`;
  return html`<${Table} label="Consumers" head=${['Group', 'State', '#Readers', '#Partitions', '#Lag here']}>
    ${groups.map(({group, state, parts}) => html`
      <tr key=${group} data-consumer=${group}>
        <th scope="row"><a data-row href=${href(['groups', group])}>${group}</a></th>
        <td><${GroupState} state=${state} /></td>
        <td class="number">${count(new Set(parts.map((p) => p.member).filter(Boolean)).size)}</td>
        <td class="number">${count(parts.length)}</td>
        <td class="number"><strong>${count(parts.reduce((sum, p) => sum + (p.lag ?? 0), 0))}</strong></td>
      </tr>`)}
  <//>`;
}

// The HTTP API, which is all that the console talks to. Paths are written as
// openapi.yaml has them, with {names} to be filled in: a test compares the two.

// requestTimeout in ms bounds every request but the live streams.
const requestTimeout = 40_000;

const contentType = 'Content-Type';

// Problem is why a request failed: the members of problem+json (code, title,
// detail, retryable, outcome, trace_id) where the node answered.
export class Problem extends Error {
  constructor(members) {
    super(members.detail || members.title);
    Object.assign(this, members);
  }
}

// url fills a path's {names} in and adds the query; undefined is left out.
export function url(path, {vars = {}, query = {}} = {}) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(vars[name]));
  const kept = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(kept).toString();
  return filled + (search && '?' + search);
}

// request answers what the node did: a document, text, or nothing at all.
// Options: vars, query, body (sent as JSON), type (of the body), headers, signal.
async function request(method, path, options = {}) {
  const {body, type = 'application/json', signal} = options;
  const headers = {Accept: 'application/json', ...options.headers};
  if (body !== undefined) headers[contentType] = type;
  const limit = AbortSignal.timeout(requestTimeout);
  let response, text;
  try {
    response = await fetch(url(path, options), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(method, error);
  }
  if (!response.ok) throw problemOf(response, text);
  return /[/+]json\b/.test(response.headers.get(contentType) ?? '') ? JSON.parse(text) : text;
}

// unreachable is the problem of a request that got no answer.
function unreachable(method, error) {
  return new Problem({
    code: 'unreachable', title: 'The node does not answer', retryable: true,
    outcome: method === 'GET' ? 'not_applied' : 'unknown',
    detail: `${location.host} gave no answer (${error.name}). Is the node running?`,
  });
}

function problemOf(response, text) {
  try {
    return new Problem(JSON.parse(text));
  } catch {
    return new Problem({
      code: 'http_' + response.status, title: `Status ${response.status}`, retryable: false, outcome: 'unknown',
      detail: text.slice(0, 300),
    });
  }
}

export const get = (path, options) => request('GET', path, options);
export const post = (path, options) => request('POST', path, options);
export const put = (path, options) => request('PUT', path, options);
export const del = (path, options) => request('DELETE', path, options);

// patch sends a merge patch, the only kind that the API takes.
export const patch = (path, options) =>
  request('PATCH', path, {...options, type: 'application/merge-patch+json'});

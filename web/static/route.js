// What a view shows is in the URL's fragment, so that it can be kept, shared
// and gone back to: "#/topics/orders?partition=0&offset=42".
import {useEffect, useState} from 'preact/hooks';

// parse takes a fragment apart: {path: ['topics', 'orders'], query: {partition: '0', …}}.
// What is not well-formed counts as absent.
export function parse(fragment) {
  const [path, query = ''] = fragment.replace(/^#\/?/, '').split(/\?(.*)/s);
  return {
    path: path.split('/').filter(Boolean).map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// href is the fragment of a path and a query; undefined, null and '' are left out.
export function href(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const search = new URLSearchParams(kept).toString();
  return '#/' + path.map(encodeURIComponent).join('/') + (search && '?' + search);
}

// go shows the view of a fragment. With replace it takes the present one's
// place in the history, for what is changed letter by letter.
export function go(fragment, replace = false) {
  if (!replace) {
    location.hash = fragment;
    return;
  }
  history.replaceState(null, '', fragment);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

// useRoute is the parsed fragment; it renders anew when that changes.
export function useRoute() {
  const [fragment, setFragment] = useState(location.hash);
  useEffect(() => {
    const changed = () => setFragment(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return parse(fragment);
}

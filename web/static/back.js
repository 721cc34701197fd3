// The way back from pages that the API leads to forward only, by cursors: which
// page led to which, by their fragments, for as long as the tab is open.
const name = 'chronik.back';

// kept is how many steps are known.
const kept = 200;

function steps() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(name)) ?? []);
  } catch {
    return new Map(); // not ours, or no storage
  }
}

// follow notes that one page leads to the next.
export function follow(page, next) {
  const known = steps();
  known.delete(next); // so that it counts as new
  known.set(next, page);
  try {
    sessionStorage.setItem(name, JSON.stringify([...known].slice(-kept)));
  } catch {
    // Full, or not allowed: there is no way back then.
  }
}

// before is the fragment of the page that led to this one, or undefined.
export const before = (page) => steps().get(page);

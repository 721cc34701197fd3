// Numbers, times and bytes as text.

const whole = new Intl.NumberFormat('en-US');

// count is a whole number in groups of three.
export const count = (n) => (n === undefined || n === null ? '–' : whole.format(n));

// bytes is a size with a binary unit and three digits.
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${Number(n.toPrecision(3))} ${units[unit]}`;
}

// short is a number with a decimal unit, for axes.
export function short(n) {
  const units = ['', 'k', 'M', 'G'];
  let unit = 0;
  for (; Math.abs(n) >= 1000 && unit < units.length - 1; unit++) n /= 1000;
  return Number(n.toPrecision(3)) + units[unit];
}

// millis is a time span given in seconds.
export const millis = (s) => (s === null || s === undefined ? '–' : `${Number((s * 1000).toPrecision(3))} ms`);

const two = (n, width = 2) => String(n).padStart(width, '0');

// time is a moment (Unix ms) in the reader's time zone, to the millisecond.
export function time(ms) {
  const d = new Date(ms);
  if (Number.isNaN(d.getTime())) return String(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${two(d.getMilliseconds(), 3)}`;
}

// iso is the same moment in UTC, for a title beside it.
export function iso(ms) {
  const d = new Date(ms);
  return Number.isNaN(d.getTime()) ? String(ms) : d.toISOString();
}

// fromBase64 is the bytes of a base64 text.
export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// hexLimit is the bytes of a value that a dump shows.
export const hexLimit = 64 << 10;

// hex dumps bytes: offset, sixteen bytes, the same as ASCII.
export function hex(data) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, hexLimit); at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const digits = row.map((b) => two(b.toString(16))).join(' ');
    const ascii = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
    lines.push(`${two(at.toString(16), 8)}  ${digits.padEnd(47)}  ${ascii}`);
  }
  return lines.join('\n');
}

// prettyJSON indents a JSON document, undefined if it is none (or a lone word
// or number, which needs no indentation). The text's own literals are kept:
// parsed and written anew, a number beyond 2^53 would be another one.
export function prettyJSON(text) {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  let out = '', depth = 0, before = '';
  const line = () => '\n' + '  '.repeat(depth);
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    if (token === '{' || token === '[') {
      depth++;
      out += token + line();
    } else if (token === '}' || token === ']') {
      depth--;
      out = before === '{' || before === '[' ? out.trimEnd() + token : out + line() + token;
    } else if (token === ',') {
      out += token + line();
    } else {
      out += token === ':' ? ': ' : token;
    }
    before = token;
  }
  return out;
}

// jsonTokens takes a JSON document apart, for colours: [[kind, text]] with kind
// name, string, number or word, and '' of what is between.
export function jsonTokens(json) {
  const tokens = [];
  let end = 0;
  for (const match of json.matchAll(/("(?:[^"\\]|\\.)*")(?=(\s*:)?)|(-?\d[\d.eE+-]*)|(true|false|null)/g)) {
    const [text, string, colon, number] = match;
    if (match.index > end) tokens.push(['', json.slice(end, match.index)]);
    tokens.push([string ? (colon === undefined ? 'string' : 'name') : number ? 'number' : 'word', text]);
    end = match.index + text.length;
  }
  tokens.push(['', json.slice(end)]);
  return tokens;
}

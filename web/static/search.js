// Searching records. The API reads and does not judge: pages are read one after
// the other, and what matches is kept.
import {get} from './api.js';
import {fromBase64} from './format.js';

// pageLength is the records of one read, mostScanned those that one search looks
// at and mostFound those that it shows, before the reader asks for more.
const pageLength = 1000;
const mostScanned = 20_000;
const mostFound = 50;

const decoder = new TextDecoder();

const text = (value, encoding) =>
  (encoding === 'base64' ? decoder.decode(fromBase64(value)) : value ?? '').toLowerCase();

// matcher is the predicate of a search: the text, in any case, in the key, the
// value, or a header's name or value.
export function matcher(wanted) {
  const q = wanted.toLowerCase();
  return (record) => text(record.value, record.encoding).includes(q)
    || text(record.key, record.key_encoding).includes(q)
    || record.headers.some((h) => h.name.toLowerCase().includes(q) || text(h.value, h.encoding).includes(q));
}

// search reads on from a request (path and options as get takes them) and
// answers {records, scanned, next}: next is the query that goes on, undefined at
// the end of the log.
export async function search(path, options, wanted, signal) {
  const matches = matcher(wanted), found = [];
  let scanned = 0, query = {...options.query, limit: pageLength};
  for (;;) {
    const page = await get(path, {...options, query, signal});
    const records = page.records;
    for (let i = 0; i < records.length; i++) {
      scanned++;
      if (matches(records[i])) found.push(records[i]);
      if (found.length === mostFound && page.cursor === undefined) {
        return {records: found, scanned, next: {offset: records[i].offset + 1}};
      }
    }
    const next = page.cursor === undefined ? {offset: page.next_offset} : {cursor: page.cursor};
    if (atEnd(page)) return {records: found, scanned};
    if (scanned >= mostScanned || found.length >= mostFound) return {records: found, scanned, next};
    query = {limit: pageLength, max_bytes: options.query.max_bytes, ...next};
  }
}

const atEnd = (page) => (page.cursor === undefined
  ? page.next_offset >= page.high_watermark : page.partitions.every((p) => p.next_offset >= p.high_watermark));

// The live tail.
import {useEffect, useRef, useState} from 'preact/hooks';
import {kafkaAddress, useCluster} from './cluster.js';
import {CurlButton, curl, kcat} from './curl.js';
import {count} from './format.js';
import {html} from './html.js';
import {RecordTable} from './record.js';
import {matcher} from './search.js';
import {Follower} from './stream.js';
import {Notice} from './ui.js';

// kept is how many records stay on the page, drawEvery the least ms between two
// drawings, perDraw the records that are shown while more than these come from
// one to the next: a busy topic must not fill the browser's memory or time. When
// it is calmer, each drawing shows as many more, until all are there.
const kept = 500;
const drawEvery = 200;
const perDraw = 100;

// tellEvery is the ms between two times that the count is spoken.
const tellEvery = 5000;

const words = {
  connecting: 'Connecting…',
  live: 'Live',
  waiting: 'Connection lost, connecting again…',
  stopped: 'Stopped',
  failed: 'Ended',
};

// Tail shows records as they are written, the newest first. leave is the
// fragment of the pages; q, if there is one, is what they must contain.
export function Tail({topic, partition, q, leave}) {
  const {records, seen, state, problem, follower} = useFollower(topic, partition, q);
  const address = kafkaAddress(useCluster());
  const commands = [['The same stream', command(topic, partition)], ...kcat('The same', address,
    ['-C', '-t', topic, ...(partition === 'all' ? [] : ['-p', partition]), '-o', 'end'])];
  const stopped = state === 'stopped' || state === 'failed';
  return html`
    <div class="bar tailing" data-state=${state}>
      ${stopped
        ? html`<button type="button" class="main" onClick=${() => follower.current.open()}>Go on</button>`
        : html`<button type="button" class="stop" onClick=${() => follower.current.stop()}>■ Stop</button>`}
      <strong role="status">${words[state]}</strong>
      <span class="muted" data-seen=${seen}>${came(seen)}${
        seen > records.length && `, ${count(records.length)} are shown`}</span>
      <${Told} seen=${seen} />
      <span class="grow"></span>
      <${CurlButton} commands=${commands} />
      <a class="button" href=${leave}>To the pages</a>
    </div>
    <${Notice} problem=${problem} />
    ${records.length === 0
      ? html`<p class="empty">${stopped ? 'Nothing came.' : 'Waiting for the next record.'}</p>`
      : html`<${RecordTable} topic=${topic} records=${records} many=${partition === 'all'}
          label="Records, the newest first" />`}`;
}

const came = (seen) => `${count(seen)} ${seen === 1 ? 'record' : 'records'} came`;

// Told is the count for those who hear it, not as often as it changes.
function Told({seen}) {
  const [told, setTold] = useState(0);
  const latest = useRef(seen);
  latest.current = seen;
  useEffect(() => {
    const timer = setInterval(() => setTold(latest.current), tellEvery);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="unseen" role="status" data-told=${told}>${told > 0 && came(told)}</span>`;
}

function command(topic, partition) {
  const path = partition === 'all'
    ? '/v1/topics/{topic}/records' : '/v1/topics/{topic}/partitions/{partition}/records';
  return curl('GET', path, {
    vars: {topic, partition}, query: {from: 'latest'}, headers: ['Accept: text/event-stream'], stream: true,
  });
}

// useFollower follows for as long as the view is there.
function useFollower(topic, partition, q) {
  const [state, setState] = useState({name: 'connecting', problem: undefined});
  const [drawn, setDrawn] = useState({records: [], seen: 0});
  const follower = useRef();
  useEffect(() => {
    const wanted = q ? matcher(q) : () => true;
    let records = [], seen = 0, fresh = 0, shown = 0, took = 0, timer;
    const soon = () => { timer ??= setTimeout(draw, Math.max(drawEvery, 3 * took)); };
    const draw = () => {
      const begin = performance.now();
      timer = undefined;
      shown = Math.min(records.length, fresh > perDraw ? perDraw : shown + perDraw);
      fresh = 0;
      setDrawn({records: records.slice(0, shown), seen});
      if (shown < records.length) soon();
      // A slow browser draws less often: most of its time is the reader's.
      requestAnimationFrame(() => setTimeout(() => { took = performance.now() - begin; }));
    };
    follower.current = new Follower({
      topic, partition,
      onRecords: (more) => {
        seen += more.length;
        const found = more.filter(wanted).slice(-kept).reverse();
        fresh += found.length;
        records = [...found, ...records].slice(0, kept);
        soon();
      },
      onState: (name, problem) => setState({name, problem}),
    });
    follower.current.open();
    return () => {
      clearTimeout(timer);
      follower.current.stop();
    };
  }, [topic, partition, q]);
  return {...drawn, state: state.name, problem: state.problem, follower};
}

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

// kept is how many records stay on the page, drawEvery the ms between two
// drawings: a busy topic must not fill the browser's memory or time.
const kept = 500;
const drawEvery = 200;

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
      <span class="muted" data-seen=${seen}>${count(seen)} ${seen === 1 ? 'record' : 'records'} came${
        seen > kept && `, the last ${count(kept)} are shown`}</span>
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
    let records = [], seen = 0, timer;
    const draw = () => {
      timer = undefined;
      setDrawn({records, seen});
    };
    follower.current = new Follower({
      topic, partition,
      onRecords: (more) => {
        seen += more.length;
        records = [...more.filter(wanted).slice(-kept).reverse(), ...records].slice(0, kept);
        timer ??= setTimeout(draw, drawEvery);
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

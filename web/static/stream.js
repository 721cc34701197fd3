// Following a topic over server-sent events.
//
// The browser's EventSource connects again by itself and names the last event,
// so the node goes on where it stopped; behind a node that is not the leader, a
// failover of the leader is not even seen. The place to begin is asked for
// first, as a page: a connection that is lost before its first event has a place
// to come back to, and a refusal has a reason, which EventSource does not tell.
import {get, url} from './api.js';

// pause in ms before the node is asked again.
const pause = 1000;

// Follower follows one partition, or a topic with partition 'all'. It calls
// onRecords(records) and onState(state, problem); states are connecting, live,
// waiting (to connect again), stopped and failed.
export class Follower {
  #turn; // of the present connection; another one means that it is over
  #source;
  #place; // the query that goes on after what came last

  constructor({topic, partition, onRecords, onState}) {
    const all = partition === 'all';
    this.path = all ? '/v1/topics/{topic}/records' : '/v1/topics/{topic}/partitions/{partition}/records';
    this.after = (data) => (all ? {cursor: data.cursor} : {offset: data.next_offset});
    this.vars = {topic, partition};
    this.onRecords = onRecords;
    this.onState = onState;
  }

  // open begins at the end, or goes on after a stop: nothing between is missed.
  async open() {
    const turn = this.#turn = {};
    this.#source?.close();
    this.onState('connecting');
    while (!await this.#ready(turn)) {
      if (turn !== this.#turn) return;
      await new Promise((done) => setTimeout(done, pause));
    }
    if (turn === this.#turn) this.#connect(turn);
  }

  // stop ends it until open is called again.
  stop() {
    this.#end('stopped');
  }

  // #ready asks whether a stream can begin, and where if nothing came yet. It
  // answers true when that is so or the turn is over.
  async #ready(turn) {
    try {
      const page = await get(this.path, {vars: this.vars, query: {...this.#place ?? {from: 'latest'}, limit: 1}});
      if (turn === this.#turn) this.#place ??= this.after(page);
      return true;
    } catch (problem) {
      if (turn !== this.#turn) return true;
      if (problem.retryable) this.onState('waiting', problem);
      else this.#end('failed', problem);
      return !problem.retryable;
    }
  }

  #connect(turn) {
    const source = new EventSource(url(this.path, {vars: this.vars, query: {...this.#place, format: 'sse'}}));
    this.#source = source;
    const seen = (event) => {
      const data = JSON.parse(event.data);
      this.#place = this.after(data);
      return data;
    };
    source.addEventListener('open', () => this.onState('live'));
    source.addEventListener('records', (event) => this.onRecords(seen(event).records));
    source.addEventListener('heartbeat', seen);
    source.addEventListener('end', seen); // the node closes; EventSource comes again
    source.addEventListener('error', (event) => {
      if (turn === this.#turn) this.#lost(source, event);
    });
  }

  // #lost deals with both kinds of error: what the node tells in an event, and a
  // connection that is gone.
  #lost(source, event) {
    const problem = event.data ? JSON.parse(event.data) : undefined;
    if (problem && !problem.retryable) this.#end('failed', problem);
    else this.onState('waiting', problem);
    if (source.readyState === EventSource.CLOSED && source === this.#source) this.open();
  }

  #end(state, problem) {
    this.#turn = undefined;
    this.#source?.close();
    this.#source = undefined;
    this.onState(state, problem);
  }
}

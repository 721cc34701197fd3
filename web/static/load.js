// Loading for views.
import {useEffect, useState} from 'preact/hooks';

// retryEvery is the most ms until a view asks again that got an error which can
// pass.
const retryEvery = 2000;

// useLoad calls load(signal) when one of deps changes, and again every so many
// ms while the page is seen; after an error that can pass, in any case. It answers
// {data, error, loading, reload}: data is the last that came, and stays beside an
// error that came after it. A view whose subject changes wants a key, so that it
// does not begin with old data.
export function useLoad(load, deps, every = 0) {
  const [state, setState] = useState({data: undefined, error: undefined, loading: true});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    const once = async () => {
      let next = every;
      try {
        const data = await load(stop.signal);
        if (!stop.signal.aborted) setState({data, error: undefined, loading: false});
      } catch (error) {
        if (error.retryable) next = Math.min(every || retryEvery, retryEvery);
        if (!stop.signal.aborted) setState(({data}) => ({data, error, loading: false}));
      }
      if (next && !stop.signal.aborted) timer = setTimeout(tick, next);
    };
    const tick = () => {
      if (document.hidden) timer = setTimeout(tick, every || retryEvery);
      else once();
    };
    setState((s) => ({...s, loading: true}));
    once();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [...deps, turn]);
  return {...state, reload: () => setTurn((n) => n + 1)};
}

// useAct is for what a button does: {act, busy, error}. act(fn) runs fn once at
// a time and resolves to its result, or to undefined when it failed; an error
// stays until the next act.
export function useAct() {
  const [state, setState] = useState({busy: false, error: undefined});
  const act = async (fn) => {
    if (state.busy) return undefined;
    setState({busy: true, error: undefined});
    try {
      const result = await fn();
      setState({busy: false, error: undefined});
      return result;
    } catch (error) {
      setState({busy: false, error});
      return undefined;
    }
  };
  return {...state, act, clear: () => setState({busy: false, error: undefined})};
}

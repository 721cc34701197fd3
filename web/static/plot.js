// A live plot.
import uPlot from 'uplot';
import {useEffect, useRef} from 'preact/hooks';
import {html} from './html.js';
import {interval, points} from './metrics.js';
import {onTheme} from './theme.js';

const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Plot draws columns (times first) as lines. series is [[name, colour variable]],
// show writes a value. The plot takes the width that it is given.
export function Plot({title, columns, series, show}) {
  const box = useRef(), plot = useRef();
  useEffect(() => {
    plot.current = new uPlot(options(box.current.clientWidth, series, show), columns, box.current);
    const sized = new ResizeObserver(() =>
      plot.current.setSize({width: box.current.clientWidth, height: height}));
    sized.observe(box.current);
    const themed = onTheme(() => plot.current.redraw());
    return () => {
      sized.disconnect();
      themed();
      plot.current.destroy();
    };
  }, []);
  useEffect(() => plot.current.setData(columns), [columns]);
  const last = series.map(([name], i) => `${name} ${show(columns[i + 1].at(-1) ?? null)}`).join(', ');
  return html`
    <figure class="plot">
      <figcaption>${title}</figcaption>
      <div ref=${box} role="img" aria-label=${`${title}: ${last}`}></div>
    </figure>`;
}

const height = 160;

const clock = (t) => new Date(t * 1000).toLocaleTimeString([], {timeStyle: 'short'});

function options(width, series, show) {
  const axis = {stroke: colour('--muted'), grid: {stroke: colour('--line'), width: 1}, ticks: {show: false}};
  const span = points * interval / 1000;
  return {
    width, height,
    cursor: {y: false, drag: {x: false, y: false}},
    scales: {
      // Always the same span, so that a plot that has just begun does not stretch.
      x: {range: (_, min, max) => [(max ?? Date.now() / 1000) - span, max ?? Date.now() / 1000]},
      y: {range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1]},
    },
    axes: [
      {...axis, values: (_, times) => times.map(clock)},
      {...axis, size: 74, values: (_, values) => values.map(show)},
    ],
    series: [
      {label: 'time', value: (_, t) => (t === null ? '–' : new Date(t * 1000).toLocaleTimeString())},
      ...series.map(([label, variable]) => ({
        label, stroke: colour(variable), width: 2, points: {size: 4}, value: (_, v) => show(v),
      })),
    ],
  };
}

// A live plot.
import uPlot from 'uplot';
import {useEffect, useRef} from 'preact/hooks';
import {html} from './html.js';
import {interval, points} from './metrics.js';
import {onTheme} from './theme.js';

// colour resolves a colour variable for the canvas, which knows no variables:
// light or dark is decided only where an element uses it.
const colour = (box, name) => () => {
  box.style.color = `var(${name})`;
  const resolved = getComputedStyle(box).color;
  box.style.color = '';
  return resolved;
};

// Plot draws columns (times first) as lines. series is [[name, colour variable]],
// show writes a value; binary marks the axis in powers of two. The plot takes the
// width that it is given.
export function Plot({title, columns, series, show, binary}) {
  const box = useRef(), plot = useRef();
  const latest = useRef(columns);
  latest.current = columns;
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box.current, series, show, binary), latest.current, box.current);
    };
    draw();
    const sized = new ResizeObserver(() => plot.current.setSize({width: box.current.clientWidth, height}));
    sized.observe(box.current);
    const stop = onTheme(draw);
    return () => {
      sized.disconnect();
      stop();
      plot.current.destroy();
    };
  }, []);
  useEffect(() => {
    plot.current.setData(columns);
    // Without a pointer in the plot, its legend shows the latest values.
    if (plot.current.cursor.left < 0) plot.current.setLegend({idx: columns[0].length - 1});
  }, [columns]);
  const last = series.map(([name], i) => `${name} ${show(columns[i + 1].at(-1) ?? null)}`).join(', ');
  return html`
    <figure class="plot">
      <figcaption>${title}</figcaption>
      <div ref=${box} role="img" aria-label=${`${title}: ${last}`}></div>
    </figure>`;
}

const height = 160;

const clock = (t) =>
  new Date(t * 1000).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});

// lone are the places of values between two gaps, which no line would show.
const lone = (column) => column.map((_, i) => i)
  .filter((i) => column[i] != null && column[i - 1] == null && column[i + 1] == null);

// minutes are the steps, in seconds, of an axis whose marks have no seconds.
const minutes = [60, 120, 300];

const powersOfTwo = Array.from({length: 45}, (_, i) => 2 ** i);

function options(box, series, show, binary) {
  const axis = {
    stroke: colour(box, '--muted'), grid: {stroke: colour(box, '--line'), width: 1}, ticks: {show: false},
  };
  const span = points * interval / 1000;
  return {
    width: box.clientWidth, height,
    cursor: {y: false, drag: {x: false, y: false}},
    scales: {
      // Always the same span, so that a plot that has just begun does not stretch.
      x: {range: (_, min, max) => [(max ?? Date.now() / 1000) - span, max ?? Date.now() / 1000]},
      y: {range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1]},
    },
    axes: [
      {...axis, size: 30, space: 45, incrs: minutes, values: (_, times) => times.map(clock)},
      {...axis, size: 74, incrs: binary ? powersOfTwo : undefined, values: (_, values) => values.map(show)},
    ],
    series: [
      {label: 'time', value: (_, t) => (t ? new Date(t * 1000).toLocaleTimeString() : '–')},
      ...series.map(([label, variable]) => ({
        label, stroke: colour(box, variable), width: 2, value: (_, v) => show(v ?? null),
        points: {show: true, size: 4, filter: (u, i) => lone(u.data[i])},
      })),
    ],
  };
}

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
// show writes a value. The plot takes the width that it is given.
export function Plot({title, columns, series, show}) {
  const box = useRef(), plot = useRef();
  const latest = useRef(columns);
  latest.current = columns;
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box.current, series, show), latest.current, box.current);
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

const clock = (t) => new Date(t * 1000).toLocaleTimeString([], {timeStyle: 'short'});

function options(box, series, show) {
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
      {...axis, size: 30, space: 80, values: (_, times) => times.map(clock)},
      {...axis, size: 74, values: (_, values) => values.map(show)},
    ],
    series: [
      {label: 'time', value: (_, t) => (t ? new Date(t * 1000).toLocaleTimeString() : '–')},
      ...series.map(([label, variable]) => ({
        label, stroke: colour(box, variable), width: 2, points: {size: 4}, value: (_, v) => show(v ?? null),
      })),
    ],
  };
}

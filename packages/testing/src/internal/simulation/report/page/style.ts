/** The style of the page of a timeline. */
export const style = String.raw`
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1d2127; --faint: #6b7280; --line: #d9dde3; --stripe: #f5f6f8; --chosen: #dbeafe;
  --violation: #d11124; --fault: #b45309; --cluster: #0e7490; --request: #4f6df5; --answer: #7c3aed;
  --connection: #8b93a1; --producer: #15803d; --consumer: #be185d; --band: #f59e0b2e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181d; --ink: #e4e7ec; --faint: #969fad; --line: #343a44; --stripe: #1c2026; --chosen: #1e3a5f;
    --violation: #ff5f6d; --fault: #fbbf24; --cluster: #38c5dd; --request: #8ba0ff; --answer: #b794f6;
    --connection: #7a8494; --producer: #4ade80; --consumer: #f472b6; --band: #f59e0b33;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1800px; padding: 16px 20px; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 20px; margin: 0 0 4px; }
h2 { font-size: 15px; margin: 18px 0 6px; }
code, pre, .mono, td.at { font-family: ui-monospace, monospace; font-size: 12px; }
.faint { color: var(--faint); }
.wrong { color: var(--violation); }
table { border-collapse: collapse; }
td { padding: 1px 12px 1px 0; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; }
td.at { text-align: right; white-space: nowrap; color: var(--faint); }
details { margin: 8px 0; }
pre { margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.lanes { display: grid; grid-template-columns: max-content 1fr; border: 1px solid var(--line); }
.labels button { display: block; width: 100%; height: 26px; padding: 0 10px; border: 0; text-align: left;
  background: none; color: inherit; font: inherit; cursor: pointer; }
.chart { position: relative; overflow: hidden; border-left: 1px solid var(--line); cursor: crosshair; }
.chart svg { display: block; width: 100%; }
.axis { position: relative; height: 20px; font-size: 11px; color: var(--faint); grid-column: 2; overflow: hidden;
  border-left: 1px solid var(--line); }
.axis span { position: absolute; top: 2px; padding-left: 3px; border-left: 1px solid var(--line); }
.stripe { fill: var(--stripe); }
.band { fill: var(--band); }
.moment { stroke: var(--fault); stroke-opacity: .35; vector-effect: non-scaling-stroke; }
.mark { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.mark.violation { stroke-width: 3.5; }
.broken { stroke: var(--violation); stroke-dasharray: 4 3; vector-effect: non-scaling-stroke; }
.violation { stroke: var(--violation); color: var(--violation); } .fault { stroke: var(--fault); color: var(--fault); }
.cluster { stroke: var(--cluster); color: var(--cluster); } .request { stroke: var(--request); color: var(--request); }
.answer { stroke: var(--answer); color: var(--answer); }
.connection { stroke: var(--connection); color: var(--connection); }
.producer { stroke: var(--producer); color: var(--producer); }
.consumer { stroke: var(--consumer); color: var(--consumer); }
.off { opacity: .35; text-decoration: line-through; }
.cursor, .span { position: absolute; top: 0; bottom: 0; pointer-events: none; }
.cursor { border-left: 1px solid var(--ink); }
.span { background: #4f6df533; }
.tip { position: fixed; z-index: 2; max-width: 640px; padding: 5px 9px; background: var(--paper); color: var(--ink);
  border: 1px solid var(--faint); border-radius: 4px; pointer-events: none; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 12px; }
.filters { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin: 10px 0; }
.filters input { flex: 1 1 260px; padding: 5px 9px; }
.filters input, .filters button { border: 1px solid var(--line); border-radius: 4px; background: var(--paper); font: inherit; }
.filters input { color: inherit; }
.filters button { padding: 4px 9px; cursor: pointer; }
.filters button.plain { color: inherit; }
.entries { height: 55vh; overflow: auto; position: relative; border: 1px solid var(--line); }
.row { position: absolute; left: 0; right: 0; height: 22px; display: grid; gap: 12px; padding: 0 8px; line-height: 22px;
  grid-template-columns: 80px 130px 80px 1fr; cursor: pointer; white-space: nowrap; }
.row span { overflow: hidden; text-overflow: ellipsis; }
.row span:first-child { text-align: right; }
.row.chosen { background: var(--chosen); }
`

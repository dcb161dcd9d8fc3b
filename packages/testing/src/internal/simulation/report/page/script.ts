/** What the page of a timeline does: zoom, filter, and show what is under the pointer. It runs in a browser. */
export const script = String.raw`
"use strict"
const { actors, kinds, entries, faults, end, laneHeight } = JSON.parse(document.getElementById("data").textContent)
const rowHeight = 22
const byId = (id) => document.getElementById(id)
const chart = byId("chart"), svg = chart.querySelector("svg"), axis = byId("axis"), list = byId("entries")
const tip = byId("tip"), cursor = byId("cursor"), span = byId("span"), search = byId("search")
const paths = Array.from(svg.querySelectorAll("path.mark"))
const inLowerCase = entries.map((entry) => entry[3].toLowerCase())
const lanes = actors.map(() => [])
const hiddenActors = new Set(), hiddenKinds = new Set()
let from = 0, to = end, shown = [], chosen = -1

const inSeconds = (ms) => Math.floor(ms / 1000) + "." + String(Math.floor(ms) % 1000).padStart(3, "0")

const firstFrom = (indices, time) => {
  let low = 0, high = indices.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[indices[middle]][0] < time) low = middle + 1
    else high = middle
  }
  return low
}

const filter = () => {
  const words = search.value.toLowerCase().split(" ").filter((word) => word !== "")
  const marks = new Map()
  shown = []
  for (const lane of lanes) lane.length = 0
  for (let index = 0; index < entries.length; index++) {
    const [time, actor, kind] = entries[index]
    if (hiddenActors.has(actor) || hiddenKinds.has(kind)) continue
    if (!words.every((word) => inLowerCase[index].includes(word))) continue
    lanes[actor].push(index)
    if (time >= from && time <= to) shown.push(index)
    const key = actor + " " + kind
    if (!marks.has(key)) marks.set(key, [])
    marks.get(key).push("M" + time + " " + (actor * laneHeight + 4) + "v" + (laneHeight - 8))
  }
  for (const path of paths) {
    path.setAttribute("d", (marks.get(path.dataset.actor + " " + path.dataset.kind) || []).join(""))
  }
  byId("count").textContent = shown.length + " of " + entries.length
  list.scrollTop = 0
  drawRows()
}

const drawRows = () => {
  const first = Math.max(0, Math.floor(list.scrollTop / rowHeight) - 10)
  const last = Math.min(shown.length, first + Math.ceil((list.clientHeight || 600) / rowHeight) + 20)
  const room = document.createElement("div")
  room.style.height = shown.length * rowHeight + "px"
  for (let position = first; position < last; position++) {
    const index = shown[position]
    const [time, actor, kind, text] = entries[index]
    const row = document.createElement("div")
    row.className = index === chosen ? "row chosen" : "row"
    row.style.top = position * rowHeight + "px"
    row.dataset.index = index
    for (const [content, className] of [
      [inSeconds(time), "mono faint"], [actors[actor], ""], [kinds[kind], kinds[kind]], [text, "mono"]
    ]) {
      const cell = document.createElement("span")
      cell.className = className
      cell.textContent = content
      row.append(cell)
    }
    room.append(row)
  }
  list.replaceChildren(room)
}

const drawAxis = () => {
  const width = to - from
  let step = Math.pow(10, Math.floor(Math.log10(width / 8)))
  for (const factor of [1, 2, 5, 10]) {
    if (width / (step * factor) <= 10) {
      step *= factor
      break
    }
  }
  axis.replaceChildren()
  for (let tick = Math.ceil(from / step); tick * step <= to; tick++) {
    const label = document.createElement("span")
    label.style.left = (tick * step - from) / width * 100 + "%"
    label.textContent = inSeconds(tick * step) + " s"
    axis.append(label)
  }
}

const drawCursor = () => {
  const time = chosen < 0 ? -1 : entries[chosen][0]
  cursor.hidden = time < from || time > to
  cursor.style.left = (time - from) / (to - from) * 100 + "%"
}

const zoom = (a, b) => {
  from = Math.max(0, a)
  to = Math.min(end, Math.max(b, from + 1))
  from = Math.min(from, to - 1)
  svg.setAttribute("viewBox", from + " 0 " + (to - from) + " " + actors.length * laneHeight)
  drawAxis()
  drawCursor()
  filter()
}

const choose = (index, scroll) => {
  chosen = index
  const [time, actor, kind, text] = entries[index]
  byId("chosen").textContent = inSeconds(time) + " s  " + actors[actor] + "  " + kinds[kind] + "\n" + text
  if (scroll) {
    const position = shown.indexOf(index)
    if (position >= 0) list.scrollTop = position * rowHeight - list.clientHeight / 2
  }
  drawCursor()
  drawRows()
}

const fractionAt = (event) => {
  const box = chart.getBoundingClientRect()
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))
}
const timeAt = (event) => from + fractionAt(event) * (to - from)

/** The entry under the pointer, not further than a few pixels away; -1 if there is none. */
const entryAt = (event) => {
  const box = chart.getBoundingClientRect()
  const lane = lanes[Math.floor((event.clientY - box.top) / laneHeight)]
  if (lane === undefined) return -1
  const time = timeAt(event)
  let nearest = -1, distance = 7 * (to - from) / box.width
  const position = firstFrom(lane, time)
  for (const index of [lane[position - 1], lane[position]]) {
    if (index !== undefined && Math.abs(entries[index][0] - time) <= distance) {
      distance = Math.abs(entries[index][0] - time)
      nearest = index
    }
  }
  return nearest
}

let dragFrom = -1
chart.addEventListener("mousedown", (event) => {
  dragFrom = fractionAt(event)
  event.preventDefault()
})
addEventListener("mouseup", (event) => {
  if (dragFrom < 0) return
  const a = Math.min(dragFrom, fractionAt(event)), b = Math.max(dragFrom, fractionAt(event))
  dragFrom = -1
  span.hidden = true
  if (b - a > 0.005) return zoom(from + a * (to - from), from + b * (to - from))
  const index = entryAt(event)
  if (index >= 0) choose(index, true)
})
addEventListener("mousemove", (event) => {
  if (dragFrom < 0) return
  const now = fractionAt(event)
  span.hidden = false
  span.style.left = Math.min(dragFrom, now) * 100 + "%"
  span.style.width = Math.abs(now - dragFrom) * 100 + "%"
})
chart.addEventListener("mousemove", (event) => {
  const time = timeAt(event), index = entryAt(event)
  const lines = index >= 0
    ? [inSeconds(entries[index][0]) + " s  " + actors[entries[index][1]] + "\n" + entries[index][3]]
    : [inSeconds(time) + " s"]
  for (const [at, until, text] of faults) if (at <= time && time <= until) lines.push("during " + text)
  tip.textContent = lines.join("\n")
  tip.hidden = false
  tip.style.left = Math.min(event.clientX + 14, Math.max(0, innerWidth - 660)) + "px"
  tip.style.top = event.clientY + 16 + "px"
})
chart.addEventListener("mouseleave", () => { tip.hidden = true })
chart.addEventListener("dblclick", () => zoom(0, end))
chart.addEventListener("wheel", (event) => {
  event.preventDefault()
  const time = timeAt(event), factor = event.deltaY > 0 ? 1.25 : 0.8
  zoom(time - (time - from) * factor, time + (to - time) * factor)
}, { passive: false })

list.addEventListener("scroll", drawRows)
list.addEventListener("click", (event) => {
  const row = event.target.closest(".row")
  if (row !== null) choose(Number(row.dataset.index), false)
})
addEventListener("resize", drawRows)
search.addEventListener("input", filter)
byId("all").addEventListener("click", () => zoom(0, end))
for (const [attribute, hidden] of [["actor", hiddenActors], ["kind", hiddenKinds]]) {
  for (const button of document.querySelectorAll("button[data-" + attribute + "]")) {
    button.addEventListener("click", () => {
      const index = Number(button.dataset[attribute])
      if (!hidden.delete(index)) hidden.add(index)
      button.classList.toggle("off", hidden.has(index))
      filter()
    })
  }
}
for (const button of document.querySelectorAll("button[data-time]")) {
  button.addEventListener("click", () => {
    const time = Number(button.dataset.time)
    zoom(time - 1000, time + 500)
    chart.scrollIntoView({ block: "nearest" })
  })
}
zoom(0, end)
`

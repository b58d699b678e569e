// Zoom and blink for the two faces of a case: marks on <body> that the style sheet reads. Nothing is sent anywhere.
const ZOOMS = [1, 2, 4]
const STEP = 5 // percent of the frame that an arrow key moves
const EYES = { x: 50, y: 46 }
const still = window.matchMedia("(prefers-reduced-motion: reduce)")
const state = { shown: null, zoom: 0, at: { ...EYES } }

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
}

function paint() {
  const body = document.body
  body.style.setProperty("--zoom", ZOOMS[state.zoom])
  body.style.setProperty("--at-x", `${state.at.x}%`)
  body.style.setProperty("--at-y", `${state.at.y}%`)
  body.toggleAttribute("data-zoomed", state.zoom > 0)
}

function move(x, y) {
  const within = (value) => Math.min(100, Math.max(0, value))
  state.at = { x: within(x), y: within(y) }
  paint()
}

function zoom() {
  state.zoom = (state.zoom + 1) % ZOOMS.length
  if (state.zoom === 0) state.at = { ...EYES }
  paint()
}

// Whoever asked for less motion turns the faces by hand: one face, the other one, both.
function blink() {
  const now = document.body.dataset.blink
  if (!still.matches) {
    if (now) delete document.body.dataset.blink
    else document.body.dataset.blink = "turns"
  } else if (!now) document.body.dataset.blink = "first"
  else if (now === "first") document.body.dataset.blink = "second"
  else delete document.body.dataset.blink
}

function reset(shown) {
  if (state.shown === shown) return
  state.shown = shown
  state.zoom = 0
  state.at = { ...EYES }
  delete document.body.dataset.blink
  paint()
}

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }

function pressed(event) {
  if (event.key === "Escape" && typing(event.target)) return event.target.blur()
  if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return
  if (!document.querySelector(".fa .faces")) return
  const key = event.key.toLowerCase()
  if (key === "z") zoom()
  else if (key === "x") blink()
  else if (key === "?") document.body.toggleAttribute("data-keys")
  else if (key === "e") {
    event.preventDefault() // or the letter would be the note's first
    document.querySelector('[class*="st-key-note-"] input')?.focus()
  } else if (state.zoom > 0 && event.key in ARROWS) {
    event.preventDefault()
    const [x, y] = ARROWS[event.key]
    move(state.at.x + x, state.at.y + y)
  }
}

function pointed(event) {
  const frame = state.zoom > 0 ? event.target.closest?.(".fa .faces .frame") : null
  if (!frame) return
  const box = frame.getBoundingClientRect()
  move((100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height)
}

export default function ({ data }) {
  reset(data.shown)
  document.addEventListener("keydown", pressed)
  document.addEventListener("pointermove", pointed)
  return () => {
    document.removeEventListener("keydown", pressed)
    document.removeEventListener("pointermove", pointed)
    delete document.body.dataset.blink
    document.body.removeAttribute("data-zoomed")
    state.zoom = 0
    state.shown = null
  }
}

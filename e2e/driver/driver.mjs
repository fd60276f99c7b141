// Runs the published CLI's own entry point, call after call, in one process: its modules are loaded once.
//
// A connection to the socket is a call: a line of JSON, {arguments, environment, folder, input, merged}, answered by
// another, {status, stdout, stderr}. Calls are carried out one after the other. What one says goes to this process's own
// streams, which are files, as do the words of programs that it starts; what was added is the answer's. The process ends
// when the connection does that said `owner`.
import {closeSync, fstatSync, openSync, readSync} from 'node:fs'
import {createRequire} from 'node:module'
import {createServer} from 'node:net'
import {createInterface} from 'node:readline'
import {Readable} from 'node:stream'
import {pathToFileURL} from 'node:url'

const [socket, entry, outPath, errPath] = process.argv.slice(2)
const url = pathToFileURL(entry).href
const require = createRequire(entry)
// What a process has once and a new one would have anew: the ids of the requests that led to this one.
const {RequestId} = await import(pathToFileURL(require.resolve('@heroku-cli/command/lib/request-id.js')).href)
// The CLI looks for its own plugins and commands at each start. They are those of the first call; what a configuration takes
// from the environment is made anew, as oclif does with one that another version of it has loaded.
const {Config} = require('@oclif/core')
const load = Config.load
let loaded
Config.load = async function (options) {
  const config = await load.call(this, loaded ?? options)
  loaded ??= config
  return config
}
const exit = process.exit.bind(process)

/** Thrown by process.exit: the call is over, the process is not. */
class Exited extends Error {
  constructor(status) {
    super(`exit ${status}`)
    this.status = status
  }
}

const spoken = {stdout: process.stdout.write, stderr: process.stderr.write}
const unheard = (bytes, encoding, done = encoding) => {
  if (typeof done === 'function') queueMicrotask(done)
  return true
}

/** Where words go from now on: nowhere after an exit, since the code that called it goes on here. */
function speak(stdout, stderr) {
  process.stdout.write = stdout
  process.stderr.write = stderr
}

const listeners = () => new Map(process.eventNames().map(name => [name, process.rawListeners(name)]))

function removeListenersBut(before) {
  for (const name of process.eventNames()) {
    for (const listener of process.rawListeners(name)) {
      if (!before.get(name)?.includes(listener)) process.removeListener(name, listener)
    }
  }
}

function become({arguments: words, environment, folder, input, merged}) {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
  Object.assign(process.env, environment)
  process.chdir(folder)
  process.argv = [process.execPath, entry, ...words]
  process.exitCode = undefined
  RequestId.empty()
  const stdin = Readable.from(input ? [Buffer.from(input)] : [])
  Object.defineProperty(process, 'stdin', {configurable: true, get: () => stdin})
  speak(spoken.stdout, merged ? spoken.stdout.bind(process.stdout) : spoken.stderr)
}

// A process of its own would have taken these with it.
const late = () => {}
process.on('uncaughtException', late)
process.on('unhandledRejection', late)

let calls = 0

async function carryOut(call) {
  become(call)
  const before = listeners()
  let leave
  const left = new Promise(resolve => { leave = resolve })
  process.exit = status => {
    const code = status ?? process.exitCode ?? 0
    leave(code)
    speak(unheard, unheard)
    throw new Exited(code)
  }
  const crash = error => {
    if (error instanceof Exited) return
    console.error(error?.stack ?? error)
    leave(1)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
  // The query makes the few lines of the entry point run again; what they import is there already.
  calls += 1
  const run = import(`${url}?call=${calls}`).then(() => process.exitCode ?? 0, error => {
    if (!(error instanceof Exited)) crash(error)
    return error.status ?? 1
  })
  const status = await Promise.race([run, left])
  // What it left behind may go on, and is nobody's then.
  speak(unheard, unheard)
  removeListenersBut(before)
  return status
}

const size = path => {
  const file = openSync(path)
  try {
    return fstatSync(file).size
  } finally {
    closeSync(file)
  }
}

function added(path, from) {
  const file = openSync(path)
  try {
    const bytes = Buffer.alloc(fstatSync(file).size - from)
    readSync(file, bytes, 0, bytes.length, from)
    return bytes.toString()
  } finally {
    closeSync(file)
  }
}

async function answer(connection, line) {
  const [out, err] = [size(outPath), size(errPath)]
  const status = await carryOut(JSON.parse(line))
  connection.end(`${JSON.stringify({status, stdout: added(outPath, out), stderr: added(errPath, err)})}\n`)
}

let last = Promise.resolve()
createServer(connection => {
  connection.on('error', () => {})
  createInterface({input: connection}).once('line', line => {
    if (line === 'owner') connection.on('close', () => exit(0))
    else {
      const failed = error => connection.end(`${JSON.stringify({status: 1, stdout: '', stderr: `driver: ${error?.stack ?? error}\n`})}\n`)
      last = last.then(() => answer(connection, line)).catch(failed)
    }
  })
}).listen(socket)

;; A guest without a toolchain. The first letter of the hub method says what it does with its arguments:
;; e(cho), v(ersion), r(eject), f(ail), n(o JSON), t(rap), o(verflow), s(pin), g(row), l(eak), x (asks the hub `exists`),
;; w(rites them to the log), a(cts: submits, flushes and submits once more), b (submits and rejects), c (submits and
;; traps), q (answers if it gets the query of the connection that is named), j (submits a message to all that has them, and
;; answers with the version), d(raws: submits, flushes, submits once more, and answers with letters of the event's id, random bytes,
;; the time, and whether there is anybody), h (says no, as to the method that a dry run calls), y (grows its memory to 5 MiB and answers with 4 MiB and 64 KiB and 3 bytes of it).
(module
  (import "hubgate:plugin/hub@0.1.0" "exists" (func $exists (param i32 i32 i32 i32)))
  (import "hubgate:plugin/hub@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (import "hubgate:plugin/hub@0.1.0" "flush" (func $flush))
  (import "hubgate:plugin/connections@0.1.0" "query" (func $query (param i32 i32 i32)))
  (import "hubgate:plugin/context@0.1.0" "now" (func $now (result i64)))
  (import "hubgate:plugin/context@0.1.0" "random" (func $random (param i32 i32)))
  (import "hubgate:plugin/context@0.1.0" "event-id" (func $event-id (param i32)))
  (import "hubgate:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 512) "\"VERSION\"")
  (data (i32.const 768) "no thanks")

  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap
      (i32.and (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 15)) (i32.const -16)))
    (local.get $at))

  ;; result<_, string> and result<_, error> at 16: ok
  (func $ok (result i32) (i32.store (i32.const 16) (i32.const 0)) (i32.const 16))
  ;; result<option<payload>, error> at 16: ok(some(json(text)))
  (func $json (param $text i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 1))
    (i32.store (i32.const 24) (i32.const 0))
    (i32.store (i32.const 28) (local.get $text))
    (i32.store (i32.const 32) (local.get $length))
    (i32.const 16))
  ;; The same: err(rejected(text)) or err(failed(text))
  (func $error (param $case i32) (param $text i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (local.get $case))
    (i32.store (i32.const 24) (local.get $text))
    (i32.store (i32.const 28) (local.get $length))
    (i32.const 16))

  (func (export "hubgate:plugin/lifecycle@0.1.0#init") (result i32)
    INIT)
  (func (export "hubgate:plugin/upstream@0.1.0#connected") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $ok))
  (func (export "hubgate:plugin/upstream@0.1.0#disconnected")
    (param i32 i32 i32 i32 i32 i32 i32) (param i32 i32 i32) (result i32)
    (call $ok))

  ;; Submits leave-all(user("no thanks")).
  (func $act
    (i32.store (i32.const 128) (i32.const 3))
    (i32.store (i32.const 132) (i32.const 1))
    (i32.store (i32.const 136) (i32.const 768))
    (i32.store (i32.const 140) (i32.const 9))
    (call $submit (i32.const 128) (i32.const 1) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then unreachable)))

  ;; A letter at this place.
  (func $letter (param $at i32) (param $number i32)
    (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.and (local.get $number) (i32.const 15)))))
  (func $draw (result i32)
    (local $index i32)
    (call $act)
    (call $flush)
    (call $act)
    (i32.store8 (i32.const 256) (i32.const 34))
    (call $event-id (i32.const 64))
    (memory.copy (i32.const 257) (i32.load (i32.const 64)) (i32.const 32))
    (call $random (i32.const 8) (i32.const 64))
    (loop $more
      (call $letter
        (i32.add (i32.const 289) (local.get $index))
        (i32.load8_u (i32.add (i32.load (i32.const 64)) (local.get $index))))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $index) (i32.const 8))))
    (call $letter (i32.const 297) (i32.wrap_i64 (call $now)))
    (call $exists (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
    (call $letter (i32.const 298) (i32.load8_u (i32.const 68)))
    (i32.store8 (i32.const 299) (i32.const 34))
    (call $json (i32.const 256) (i32.const 44)))

  (func $overflow (call $overflow) (call $overflow))
  (func $grow (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)

  (func (export "hubgate:plugin/upstream@0.1.0#invoke")
    (param i32 i32 i32 i32 i32 i32 i32)
    (param $target i32) (param i32) (param i32) (param $text i32) (param $length i32) (param i32)
    (result i32)
    (local $letter i32)
    (local.set $letter (i32.load8_u (local.get $target)))
    (if (i32.eq (local.get $letter) (i32.const 101)) (then
      (return (call $json (local.get $text) (local.get $length)))))
    (if (i32.eq (local.get $letter) (i32.const 118)) (then
      (return (call $json (i32.const 512) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 114)) (then
      (return (call $error (i32.const 0) (i32.const 768) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 102)) (then
      (return (call $error (i32.const 1) (i32.const 768) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 110)) (then
      (return (call $json (i32.const 768) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 111)) (then (call $overflow)))
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $forever (br $forever))))
    (if (i32.eq (local.get $letter) (i32.const 103)) (then (call $grow)))
    (if (i32.eq (local.get $letter) (i32.const 108)) (then
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
      (return (call $json (local.get $text) (local.get $length)))))
    (if (i32.eq (local.get $letter) (i32.const 120)) (then
      (call $exists (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
      (return (call $json (i32.const 512) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 119)) (then
      (call $log (i32.const 1) (local.get $text) (local.get $length) (i32.const 0) (i32.const 0))
      (return (call $json (local.get $text) (local.get $length)))))
    (if (i32.eq (local.get $letter) (i32.const 97)) (then
      (call $act)
      (call $flush)
      (call $act)
      (return (call $json (local.get $text) (local.get $length)))))
    (if (i32.eq (local.get $letter) (i32.const 100)) (then (return (call $draw))))
    (if (i32.eq (local.get $letter) (i32.const 98)) (then
      (call $act)
      (return (call $error (i32.const 0) (i32.const 768) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 99)) (then
      (call $act)
      unreachable))
    (if (i32.eq (local.get $letter) (i32.const 104)) (then
      (return (call $error (i32.const 0) (i32.const 768) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 121)) (then
      (if (i32.eq (memory.grow (i32.const 80)) (i32.const -1)) (then unreachable))
      (return (call $json (i32.const 4096) (i32.const 4259843)))))
    (if (i32.eq (local.get $letter) (i32.const 106)) (then
      (memory.fill (i32.const 128) (i32.const 0) (i32.const 44))
      (i32.store (i32.const 144) (i32.const 768))
      (i32.store (i32.const 148) (i32.const 9))
      (i32.store (i32.const 156) (local.get $text))
      (i32.store (i32.const 160) (local.get $length))
      (call $submit (i32.const 128) (i32.const 1) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then unreachable))
      (return (call $json (i32.const 512) (i32.const 9)))))
    (if (i32.eq (local.get $letter) (i32.const 113)) (then
      (call $query
        (i32.add (local.get $text) (i32.const 2)) (i32.sub (local.get $length) (i32.const 4)) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then
        (return (call $json (local.get $text) (local.get $length)))))
      (return (call $error (i32.const 0) (i32.const 768) (i32.const 9)))))
    unreachable)
  (func (export "cabi_post_hubgate:plugin/upstream@0.1.0#invoke") (param i32)
    (global.set $heap (i32.const 4096))))

@0x9a3f61c27be0d845;
# What the tests of RPC connections talk.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("dlm::wire");

interface Echo {
  echo @0 (data :Data) -> (data :Data);
  never @1 () -> ();                          # answers when the test says so, or not at all
  fail @2 () -> ();
  subscribe @3 (listener :Listener) -> ();    # the listener is told at once, and kept
  blob @4 (bytes :UInt32) -> (data :Data);
  count @5 (nothings :List(Void)) -> (count :UInt32);  # a list takes no room, however long it is

  interface Listener {
    told @0 (number :UInt32) -> ();
  }
}

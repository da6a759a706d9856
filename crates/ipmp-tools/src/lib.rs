//! ifconfig, ipmpstat, if_mpadm, eeprom, ipmp: parse words, ask the daemon, print.
